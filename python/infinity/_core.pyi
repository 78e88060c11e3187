"""The Rust core. Bytes, ``str`` ids and frozen classes cross; nothing here is async and nothing calls back.

Times are milliseconds since the Unix epoch. "JSON" means UTF-8 bytes of one JSON value. A *block* is a content block in the
shape of the Anthropic Messages API; "blocks" means a JSON array of them. Every failure is a ``CoreError`` whose ``args`` are
``(code, text)``; ``infinity.errors.from_core`` turns it into the public tree.
"""

from typing import final

__all__ = [
    "Batch",
    "Call",
    "CoreError",
    "DedupSet",
    "Delta",
    "HeldLoop",
    "Journal",
    "Mailboxes",
    "Message",
    "Snapshot",
    "StopGuard",
    "Thread",
    "Wake",
    "__version__",
    "admit",
    "covered",
    "display",
    "entry_json",
    "examine_journal",
    "exported_root",
    "header_json",
    "live_ranges",
    "needs_a_person",
    "ranges",
    "repair_journal",
    "repaired",
    "weight",
]

__version__: str

class CoreError(Exception):
    """``args == (code, text)``; the codes are those of ``rust/src/error.rs``."""

@final
class Message:
    """One message for one thread. Frozen, hashable by identity."""

    def __new__(
        cls, thread: str, id: str, kind: str, body: bytes, *, seq: int = 0, accepted_at: int = 0
    ) -> Message: ...
    @property
    def thread(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def body(self) -> bytes: ...
    @property
    def seq(self) -> int: ...
    @property
    def accepted_at(self) -> int: ...

@final
class StopGuard:
    """Ends the process with ``128 + signal`` if anyone who holds the event loop keeps it from stopping (L17). A thread that blocks until the first signal."""

    def __new__(cls, signals: list[int], unheard: float, unfinished: float) -> StopGuard:
        """``unheard``: seconds from a signal to ``heard``; ``unfinished``: from there to ``finished``. Handlers that are installed already are called as
        before. ``storage`` if it cannot be had."""
    def heard(self) -> None:
        """The event loop has heard the signal and stops."""
    def finished(self) -> None:
        """The process has stopped in order. Nothing is watched any more."""

@final
class HeldLoop:
    """Writes down which thread's slice holds the event loop. A thread that sleeps on a timer, which is set only while slices run."""

    def __new__(cls, note: str, after: float) -> HeldLoop:
        """``note``: the file in which it is written that a step has held the loop for ``after`` seconds: JSON of ``thread``, ``seconds``, ``pid``. It is removed
        when the step ends after all. ``storage`` if it cannot be had."""
    def enter(self, thread: str) -> None:
        """A step of this thread's slice begins."""
    def leave(self) -> None:
        """It has ended."""
    def rest(self) -> None:
        """No slice runs any more."""
    def close(self) -> None:
        """Watch no longer."""

@final
class Wake:
    """One pollable file descriptor for everything the core finishes. Readable until ``drain`` is called."""

    def __new__(cls) -> Wake: ...
    def fileno(self) -> int: ...
    def arm(self, due_at: int | None) -> None:
        """Make the descriptor readable at this wall-clock time (past: at once); ``None`` disarms. One alarm at a time.

        Follows clock steps and suspends (Linux ``timerfd`` on CLOCK_REALTIME, cancel-on-set); no thread ticks.
        """
    def signal(self) -> None:
        """Make the descriptor readable now. Any thread may call it."""
    def drain(self) -> bool:
        """Reset the descriptor; true if the alarm went off (or the clock was stepped: check what is due)."""

@final
class Batch:
    """A thread's whole queue at the moment it was taken, in arrival order. Frozen."""

    @property
    def thread(self) -> str: ...
    @property
    def messages(self) -> list[Message]: ...

@final
class Mailboxes:
    """Per-thread FIFO channels. Many senders on any OS thread; one taker per thread at a time."""

    def __new__(cls, wake: Wake | None = None, *, capacity: int = 10_000) -> Mailboxes:
        """``capacity``: messages one thread may have queued; more raises ``limit``."""
    def put(self, message: Message) -> bool:
        """Append; false if a message with this thread and id is queued or taken already. Signals ``wake`` if the thread became ready."""
    def give_back(self, thread: str, messages: list[Message]) -> None:
        """Messages that were put aside before anything that is queued now came: to the front, in order, even if the taken batch holds them.
        One that is queued already stays where it is."""
    def take(self) -> Batch | None:
        """The longest-ready thread with its whole queue, exclusively, until ``release``; ``None`` if none is ready."""
    def take_thread(self, thread: str) -> Batch | None:
        """The same for one thread; ``None`` if it has nothing queued or is taken."""
    def more(self, thread: str) -> list[Message]:
        """What has arrived for a taken thread since; appended to its batch (``release(keep=True)`` would give it back)."""
    def release(self, thread: str, *, keep: bool = False) -> None:
        """End the taking. ``keep``: the batch goes back to the front, in order. The thread is ready again if anything is queued."""
    def queued(self, thread: str) -> int:
        """How many messages wait (not counting a taken batch)."""
    def taken(self, thread: str) -> bool: ...
    def __len__(self) -> int:
        """Threads with anything queued or taken. A thread without costs nothing."""

@final
class DedupSet:
    """An exact set of ids; at most ~32 bytes an id whatever its length (128-bit digests)."""

    def __new__(cls) -> DedupSet: ...
    def add(self, id: str) -> bool:
        """True if it was not there."""
    def __contains__(self, id: str, /) -> bool: ...
    def __len__(self) -> int: ...
    def memory(self) -> int:
        """Bytes held."""
    def encode(self) -> bytes: ...
    @staticmethod
    def decode(data: bytes) -> DedupSet: ...

@final
class Call:
    """One tool call and its life. Frozen: a picture of the registry's row."""

    @property
    def id(self) -> str: ...
    @property
    def thread(self) -> str: ...
    @property
    def provider_id(self) -> str: ...
    @property
    def tool(self) -> str: ...
    @property
    def toolset(self) -> str:
        """Name of the toolset it went to; empty for a built-in."""
    @property
    def arguments(self) -> bytes: ...
    @property
    def state(self) -> str:
        """``planned`` | ``answered`` | ``failed`` | ``cancelled`` (the store alone knows ``sent``)."""
    @property
    def detached(self) -> bool:
        """Its turn has a placeholder result; the real one will enter as an event."""
    @property
    def subscription(self) -> bool: ...
    @property
    def deadline(self) -> int | None: ...
    @property
    def user_id(self) -> str | None:
        """Whose message caused the call (trap S11)."""
    @property
    def position(self) -> int:
        """Absolute position of its turn."""
    @staticmethod
    def decode(record: bytes) -> Call: ...

@final
class Snapshot:
    """What a store reads to load a thread: records as they were written."""

    def __new__(
        cls,
        header: bytes,
        entries: list[tuple[int, bytes]],
        calls: list[bytes],
        seen: list[str],
        attempts: int = 0,
        kept: list[str] = ...,
    ) -> Snapshot:
        """``entries``: of all ``live_ranges(header)``, ascending; ``calls``: open ones and active subscriptions of this thread;
        ``seen``: those of the message ids asked about that the thread has consumed; ``attempts``: failed ones on record; ``kept``: ids of calls for
        which early events are kept."""

@final
class Thread:
    """A thread's state and its rules. Changes gather until ``delta`` and become permanent with ``committed``.

    If a commit fails, throw the object away and load again. Methods that would break I4 raise ``rule`` and change nothing.
    """

    @staticmethod
    def create(id: str, *, now: int, model: str, title: str = "", seed: bytes | None = None) -> Thread:
        """A new root thread, version 0. ``seed``: blocks of a first user entry that tells the thread its identity."""
    @staticmethod
    def load(snapshot: Snapshot) -> Thread: ...
    @staticmethod
    def past(header: bytes, position: int, entries: list[tuple[int, bytes]]) -> Thread:
        """The thread as it was just before its own entry at ``position``, to be looked at only: any change is ``rule``.

        ``entries``: all before it, from 0 or from the end of what the summary covers that was in force then. ``rule`` for a position that is not the
        thread's own; ``damaged``, ``too_new``.
        """
    def fork(
        self,
        id: str,
        *,
        now: int,
        origin: bytes,
        placeholder: bytes,
        seed_call: str | None = None,
        seed: bytes | None = None,
        model: str | None = None,
        upto: int | None = None,
    ) -> Thread:
        """A child that inherits this thread's entries up to now by reference, never by copy.

        In the child, every unanswered (attached) call of the inherited last turn gets the blocks ``placeholder`` as its result, except ``seed_call``
        (the spawning call), whose result is ``seed``; the child is then pending. Without ``seed_call`` the creator adds what wakes the child itself
        (``add_event``, ``add_user``) on the returned object. ``upto``: inherit only the entries before this position, an ``end`` of ``summary_range``. ``origin``: JSON that the child keeps in its header (why it exists). The child's delta rides in this
        thread's next ``delta``, and carries whatever was done to the child object until then; after ``committed`` of the parent the child object is spent.
        """
    def branch(
        self, id: str, *, now: int, origin: bytes, seed: bytes, title: str = "", model: str | None = None
    ) -> Thread:
        """A thread of the same tree that goes on from here by itself, version 0: it inherits what is before by reference, never by copy, and its own
        delta brings it into being. For threads of ``past``. ``seed``: blocks of a user entry that tells it its identity. ``rule`` where a call has no
        result yet, or nothing would be inherited.
        """
    @property
    def id(self) -> str: ...
    @property
    def root(self) -> str: ...
    @property
    def parent(self) -> str | None: ...
    @property
    def ancestors(self) -> list[str]:
        """Root → parent; empty for a root."""
    @property
    def origin(self) -> bytes | None: ...
    @property
    def memo(self) -> bytes:
        """What the engine remembers about the thread from slice to slice: a small JSON object, ``{}`` at first."""
    @property
    def version(self) -> int:
        """Of the last commit; 0 before the first."""
    @property
    def model(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def created_at(self) -> int: ...
    @property
    def status(self) -> str:
        """``idle`` | ``waiting`` (open calls, subscriptions or ``pending``) | ``stopped`` | ``closed``."""
    @property
    def pending(self) -> bool:
        """Something was added for the model that no turn has followed yet, and no attached call is open."""
    @property
    def position(self) -> int:
        """The absolute position that the next entry gets. A child's positions go on from the fork."""
    @property
    def problem(self) -> str | None:
        """The last error that the user should know of."""
    @property
    def children(self) -> int:
        """How many children this thread has created so far."""
    @property
    def usage(self) -> tuple[int, int, int, int]:
        """Tokens so far: input, output, cache read, cache write."""
    @property
    def cost(self) -> int:
        """Microdollars so far: the sum of what ``add_turn`` was told."""
    @property
    def context_tokens(self) -> int:
        """Tokens of the last completion, cached input included: the size of the context now."""
    @property
    def answered(self) -> bool:
        """The last entry is a turn: nothing was said since."""
    @property
    def actor(self) -> str | None:
        """The user whose message was folded in last."""
    def live_entries(self) -> int:
        """How many entries the next request renders."""
    def staged(self) -> tuple[int, int]:
        """About how much the next commit changes: rows and bytes, children included."""
    def live_bytes(self) -> int:
        """Bytes of the records of these entries."""
    def calls(self) -> list[Call]:
        """Open calls (planned or sent, attached or detached), oldest first."""
    def attached(self) -> list[Call]:
        """Open calls of the last turn that have no result or placeholder yet."""
    def subscriptions(self) -> list[Call]: ...
    def call(self, id: str) -> Call | None:
        """A call of this thread that is open, subscribed, or changed since the load."""

    def seen(self, message_id: str) -> bool: ...
    def consume(self, message: Message, outcome: str = "applied") -> None:
        """Take a message out of the inbox with this commit; ``outcome`` is ``applied`` or the reason of its discard."""

    def early(self, call_id: str) -> bool:
        """True if an event of this call has to be kept: the call is open, or its subscription is confirmed by the next commit and events that
        came before are kept until then (SUB-9)."""
    def keep(self, message: Message, call_id: str) -> None:
        """An early event leaves the inbox with this commit and waits beside its call; its id is not spent. The commit that confirms the
        subscription puts it back into the inbox, in order; one that ends the call otherwise discards it on record. ``rule`` unless ``early``."""

    @property
    def attempts(self) -> int:
        """Failed attempts on record since the last turn that was bought."""
    def attempted(self, count: int) -> None:
        """What ``record_attempt`` of the store returned. In memory only; read ``attempts`` afterwards."""
    def clear_attempts(self) -> None:
        """The next commit forgets those that are on record now. ``add_turn`` does it by itself."""

    def add_user(self, blocks: bytes, *, now: int, actor: str | None = None, meta: bytes = b"{}") -> int:
        """A user entry; returns its position. ``rule`` if an attached call is open, blocks are empty or a text is empty."""
    def add_turn(
        self,
        blocks: bytes,
        calls: list[Call],
        *,
        now: int,
        usage: tuple[int, int, int, int] = (0, 0, 0, 0),
        cost: int = 0,
        meta: bytes = b"{}",
    ) -> int:
        """What the model produced. ``calls`` match the blocks' ``tool_use`` ids one to one, in order; ids are new for ever.
        ``cost`` is in microdollars (millionths of a US dollar). Trailing reasoning without a signature is dropped. Empty blocks are recorded (the model had nothing to say)."""
    def plan_call(
        self,
        id: str,
        *,
        provider_id: str,
        tool: str,
        toolset: str,
        arguments: bytes,
        deadline: int | None,
        user_id: str | None,
    ) -> Call:
        """A row for ``add_turn``; changes nothing by itself."""
    def answer(
        self,
        call_id: str,
        blocks: bytes,
        *,
        now: int,
        event_id: str,
        state: str = "answered",
        error: bool = False,
        subscription: bool = False,
        meta: bytes = b"{}",
    ) -> str:
        """End an open call (``state``: ``answered``, ``failed`` or ``cancelled``). Attached: a ``result`` entry, returns ``"result"``. Detached: an
        ``event`` entry under ``event_id``, returns ``"event"``; ``rule`` if any attached call is open. When the last attached call of a turn is answered and not all of
        them were cancelled, the thread is pending. ``error`` sets ``is_error`` on the tool_result."""
    def detach(self, call_id: str, blocks: bytes, *, now: int) -> None:
        """Give an attached call a placeholder result and go on without it (L4)."""
    def change_arguments(self, call_id: str, arguments: bytes) -> None:
        """An open call gets other arguments (a JSON object) before it leaves; its turn stays as the model said it."""
    def cancel_detached(self, call_id: str) -> None:
        """A detached open call becomes ``cancelled``; nothing enters history."""
    def add_event(
        self,
        event_id: str,
        *,
        tool: str,
        call_id: str,
        arguments: bytes,
        blocks: bytes,
        now: int,
        meta: bytes = b"{}",
    ) -> int:
        """A synthetic call of ``receive_event__injected`` and its result (SUB-2). An ``event_id`` that the model's API would refuse as a
        tool_use id, or that is taken, is replaced by a digest of it. ``rule`` if an attached call is open or nothing came before."""
    def end_subscription(self, call_id: str) -> bool:
        """False if it is not an active subscription."""
    def summary_range(self, keep: int) -> tuple[int, int] | None:
        """The widest ``[start, end)`` that a summary may cover while at least the last ``keep`` entries stay; ``None`` if there is none.
        Never separates a turn from its results."""
    def add_summary(self, start: int, end: int, blocks: bytes, *, now: int, meta: bytes = b"{}") -> None:
        """Replace ``[start, end)`` in what is rendered. ``conflict`` if ``start`` is not where the live entries begin or ``end`` is not a valid border."""

    def set_timer(self, id: str, due_at: int, kind: str, body: bytes) -> None: ...
    def cancel_timer(self, id: str) -> None: ...
    def plan_outbox(
        self, key: str, kind: str, target: str, body: bytes, call_id: str | None = None
    ) -> None: ...
    def cancel_outbox(self, key: str) -> None: ...
    def send(self, thread: str, id: str, kind: str, body: bytes) -> None:
        """A message to another thread, durable with this commit."""
    def open_prompt(self, id: str, kind: str, body: bytes) -> None: ...
    def close_prompt(self, id: str) -> None: ...
    def note(self, kind: str, body: bytes) -> None:
        """Append to the durable event stream (JSON), beside the ``entry`` rows that every new entry adds by itself."""
    def set_model(self, model: str) -> None: ...
    def set_title(self, title: str) -> None: ...
    def set_actor(self, actor: str | None) -> None:
        """On whose behalf the next calls are made (S11)."""
    def set_problem(self, text: str | None) -> None: ...
    def set_memo(self, memo: bytes) -> None: ...
    def set_stopped(self, stopped: bool) -> None: ...
    def set_pending(self, pending: bool) -> None:
        """Force the flag (an interrupt takes the reason to speak away; a retry gives it back)."""
    def close(self) -> None:
        """``rule`` if an attached call is open. Detached calls are cancelled, subscriptions end."""
    def reopen(self) -> None:
        """Undo ``close`` of a root thread, whose history goes on; ``rule`` for a child."""

    def render(
        self, *, images: bool = True, documents: bool = True, breakpoints: int = 2, simpler: bytes = b"{}"
    ) -> bytes:
        """The request's ``messages`` array from stored bytes: roles alternate, every tool_use has its one tool_result first in the next
        user message. ``images=False`` replaces each image by a text placeholder (RES-2), ``documents=False`` each document. Of more images than
        one request may hold the newest are shown. ``simpler``: JSON of what is left out or shortened (``engine.memo.Simpler``). The last block of
        the last ``breakpoints`` user messages gets ``cache_control``. ``rule`` if an attached call is open or there is nothing to render."""
    def place(
        self, message: int, block: int, *, images: bool = True, documents: bool = True, simpler: bytes = b"{}"
    ) -> tuple[int, bool, int] | None:
        """The block that a refusal of such a request names: position of its entry, whether it is the user's, its number there."""
    def unanswered_weight(self) -> int:
        """How much the next request tells the model for the first time, in characters; an image counts as what it shows."""
    def longest_text(self, most: int) -> int | None:
        """To how many characters each text must be shortened so that the history has at most ``most``; ``None`` if it has."""
    def changed(self) -> bool:
        """True if ``delta`` would carry anything."""
    def delta(self, now: int) -> Delta:
        """Everything since the last commit. Calling it again without changes gives the same."""
    def committed(self) -> None:
        """The last delta is durable: take its version and start afresh."""

@final
class Delta:
    """One atomic commit as data (I6); see rust/src/delta.rs. Frozen."""

    @property
    def thread(self) -> str: ...
    @property
    def root(self) -> str: ...
    @property
    def parent(self) -> str | None: ...
    @property
    def expected_version(self) -> int: ...
    @property
    def new_version(self) -> int: ...
    @property
    def status(self) -> str: ...
    @property
    def troubled(self) -> bool:
        """It is not closed, and rests with a problem."""
    @property
    def needs_a_person(self) -> bool:
        """It rests with a problem that only a person ends."""
    @property
    def title(self) -> str: ...
    @property
    def created_at(self) -> int: ...
    @property
    def updated_at(self) -> int: ...
    @property
    def header(self) -> bytes: ...
    @property
    def entries(self) -> list[tuple[int, bytes]]: ...
    @property
    def calls(self) -> list[tuple[str, str, bool, str, bytes]]:
        """id, state, subscription, tool, record."""
    @property
    def consumed(self) -> list[tuple[int, str, str]]:
        """seq, message id, outcome."""
    @property
    def kept(self) -> list[tuple[str, Message]]:
        """Call id, message: early events that leave the inbox and wait beside their call."""
    @property
    def released(self) -> list[str]:
        """Calls whose kept events are queued again, because their subscription is confirmed."""
    @property
    def dropped(self) -> list[str]:
        """Calls whose kept events are discarded on record, because they ended otherwise."""
    @property
    def ended(self) -> list[str]:
        """Calls that end with this commit, in whatever way. Their timers and prompts are among the cancelled ones; their outbox rows of the kinds
        ``invoke`` and ``choice`` the store removes by call id (I13)."""
    @property
    def attempts_cleared(self) -> int:
        """So many failed attempts are forgotten."""
    @property
    def children(self) -> list[Delta]: ...
    @property
    def timers(self) -> list[tuple[str, int, str, bytes]]:
        """id, due_at, kind, body."""
    @property
    def timers_cancelled(self) -> list[str]: ...
    @property
    def outbox(self) -> list[tuple[str, str, str, bytes, str | None]]:
        """key, kind, target, body, call id."""
    @property
    def outbox_cancelled(self) -> list[str]: ...
    @property
    def sends(self) -> list[tuple[str, str, str, bytes]]:
        """thread, id, kind, body."""
    @property
    def prompts(self) -> list[tuple[str, str, bytes]]:
        """id, kind, body."""
    @property
    def prompts_closed(self) -> list[str]: ...
    @property
    def feed(self) -> list[tuple[int, str, bytes]]:
        """position, kind, JSON."""
    @property
    def used(self) -> list[tuple[str, int, tuple[int, int, int, int], int]]:
        """model, turns, tokens (input, output, cache read, cache write), microdollars of this thread's turns in this delta."""
    @property
    def spent(self) -> tuple[int, int]:
        """Tokens (all four kinds) and microdollars of this thread's turns in this delta; children carry their own."""
    def size(self) -> int:
        """Bytes of all records and bodies, children included."""

def live_ranges(header: bytes) -> list[tuple[str, int, int]]:
    """``(thread, start, end)`` of every range of entries that loading this thread must read, ascending; a summary's own entry included."""

def ranges(header: bytes, start: int, end: int) -> list[tuple[str, int, int]]:
    """``(thread, start, end)`` of every range in which the thread's entries from ``start`` to ``end`` are, ascending. ``damaged``, ``too_new``."""

def covered(record: bytes) -> tuple[int, int] | None:
    """The positions that a summary stands for; ``None`` for an entry of another kind. ``damaged``, ``too_new``."""

def needs_a_person(header: bytes) -> bool:
    """Whether a header says that its thread rests with a problem that only a person ends. ``damaged``, ``too_new``."""

def entry_json(record: bytes) -> bytes:
    """``{"kind", "at", "assistant": blocks, "user": blocks, "meta": {…}}`` of an entry record, for clients; a summary also has
    ``"covers": [start, end]``."""

def header_json(header: bytes) -> bytes:
    """The header as JSON, for clients and diagnosis."""

def admit(content: bytes, *, strict: bool) -> tuple[bytes, list[str]]:
    """Blocks as history takes them, and what was changed, in words (I11). Text loses NUL and halves of characters; images and documents
    must be what they say, and whole. What cannot be used: ``bad_request`` if ``strict`` (a person hears of it), else a sentence in its place."""

def repaired(json: bytes) -> bytes:
    """The same JSON with U+FFFD for each lone half of a surrogate pair, which no decoder takes; halves that belong together are joined."""

def weight(json: bytes) -> int:
    """Characters of rendered JSON that the model is to read; base64 counts as what it shows."""

def display(script: str, arguments: bytes) -> str | None:
    """Evaluate a toolset's ``displayScript`` (Rhai, scope: the map ``args``), bounded; ``None`` on any failure (DISC-8)."""

@final
class Journal:
    """The local durable store. One writer thread with group commit; one reader thread. Every method but ``open``, ``close`` and ``finished`` returns a
    ticket at once; the outcome comes from ``finished`` after ``wake`` was signalled."""

    @staticmethod
    def open(path: str, wake: Wake) -> Journal:
        """Open or create. ``damaged``, ``too_new``, ``locked`` or ``storage`` with a text that says what to do."""
    def close(self) -> None:
        """Finish what is queued, checkpoint, release the file."""
    def gather(self) -> None:
        """From now on writes wait for ``hand_over``, so that those of one turn of an event loop share a flush."""
    def gathered(self) -> int:
        """How many writes wait for ``hand_over``."""
    def hand_over(self) -> None:
        """Give the writer what was submitted since the last call."""
    def finished(self) -> list[tuple[int, object, CoreError | None]]:
        """``(ticket, value, error)`` of all that finished since the last call."""

    # writes; durable (fsync) when finished
    def accept(self, message: Message, expect: str = "any", call_id: str | None = None) -> int:
        """Append to the inbox. Value: ``(status, Message | None)`` with status ``accepted`` (the message carries its ``seq``), ``duplicate``, ``unknown_thread``,
        ``unknown_call``, ``not_pending`` (recorded if the call had failed), ``not_subscribed``, ``discarded`` (recorded: thread closed or call cancelled), ``moved`` (its
        tree was retired here; nothing was written), ``deleted`` (its tombstone has counted it), ``full`` (too many early events of the call wait). ``expect``: ``any``; ``call`` (``call_id`` is an open call of
        this thread); ``event`` (``call_id`` is a subscription of this thread, or an open call that may become one)."""
    def commit(self, delta: Delta, events_kept: int = 604800000) -> int:
        """``events_kept``: for how many milliseconds the log of commits keeps its rows. Value: the list of messages that entered inboxes (``sends``). Error ``conflict`` if a version or a consumed id did not match, or the tree
        was retired (``retired`` tells); ``deleted`` if the tree was deleted, or a new thread has the id of one that was."""
    def record_attempt(self, thread: str, code: str, at: int, tokens: int = 0, microdollars: int = 0) -> int:
        """A failed attempt, beside the thread's commits; what it cost counts for its tree. Value: how many are on record. Errors ``not_found``, ``deleted``, ``conflict``
        if the tree was retired."""
    def begin(self, now: int) -> int:
        """The first thing a process does. If the last one that began did not end with ``close``, every thread with queued messages gets an attempt.
        Value: how many did."""
    def fire_timers(self, now: int, limit: int = 1000) -> int:
        """Move due timers into their threads' inboxes. Value: list of messages."""
    def outbox_done(
        self, key: str, sent_call: str | None = None, failure: Message | None = None, at: int = 0
    ) -> int:
        """Delete the row; mark ``sent_call`` as ``sent``; or accept ``failure`` in the same transaction. ``at``: when the try was made that ended it.
        Value: as ``accept``, or ``None``."""
    def outbox_retry(self, key: str, due_at: int, trouble: str = "") -> int:
        """Count an attempt, which failed for ``trouble``; not due before ``due_at``."""
    def put_view(self, thread: str, view_type: str, content: bytes) -> int:
        """Value: false if there is no such thread here, or its tree was retired."""
    def put_meta(self, key: str, value: bytes) -> int: ...
    def retire_tree(self, root: str, note: str, mark: bytes | None = None) -> int:
        """Take a whole tree out of service, because it moves to another store (with the ``mark`` of 8 bytes that it leaves under, which raises its generation): ``accept`` answers ``moved``, ``commit`` is a ``conflict``, and
        ``fire_timers``, ``next_timer``, ``inbox`` and ``outbox`` leave it out. All of it stays and can be read and exported. ``note``: why, for people. Error
        ``not_found`` if no thread is the root."""
    def unretire_tree(self, root: str, mark: bytes | None = None) -> int:
        """Put it back into service; what it has queued is to be taken up again. Nothing happens if it was not retired. ``mark``: it had left; what has left
        is older from now on."""
    def delete_tree(self, root: str) -> int:
        """Remove all there is of a tree, whether retired or not; its space is zeroed. Value: the number of threads, 0 if there were none."""
    def mark_deleted(self, root: str, at: int) -> int:
        """Delete a whole tree for good: from now on ``accept`` answers ``deleted``, ``commit`` and ``load`` are the error ``deleted``, and no listing has it.
        Value: ``([(thread, whether it was open)], [(thread, call)])`` of all threads, and of open calls and subscriptions; while it is being erased, of what is left.
        Errors: ``not_found``, ``deleted`` if nothing is left to be done, ``bad_request`` for a thread that is not a root."""
    def erase(self, root: str, limit: int = 250) -> int:
        """Remove about so many rows of a tree that was marked. Value: true while there may be more."""
    def compact(self, sparse_only: bool = False) -> int:
        """Write the file anew from its live rows and cut off its log; other writes wait, reading goes on. Deletions whose rows are gone are over then.
        ``sparse_only``: nothing happens unless more than half of the file is free.
        Errors: ``locked`` while somebody reads for long, ``storage``."""
    def import_tree(self, path: str, expected: str | None = None, resting: str | None = None) -> int:
        """Take in a tree that ``export_tree`` wrote, all or nothing; other writes wait for it. ``expected``: its root; ``resting``: the note with which it is out
        of service from the first moment on, as after ``retire_tree``: then there is nothing to take up. Value: dict of ``root``, ``messages`` (queued, with
        new places in the same order), ``outbox`` (how many rows have not left), ``next_timer`` (or ``None``), ``replaced`` (an older copy that had left), ``copy`` (of a tree that went on where it was). Errors: ``damaged`` if the file is not exactly what
        was exported, ``too_new``, ``bad_request`` if its root is another one than ``expected``, ``conflict`` if one of its threads is here already and has not left, or the file is older than what is known here or has parted
        from it, ``deleted`` if one was deleted here."""

    # reads
    def export_tree(self, root: str, path: str) -> int:
        """Write a whole tree as it is at one moment to a new file, a journal that holds nothing else; the file appears when it is complete. Value: the
        number of threads. Errors: ``not_found``, ``conflict`` if there is a file already, ``damaged`` if a row of the tree cannot be read."""
    def examine(self) -> int:
        """Read everything, beside all other work. Value: JSON as from ``examine_journal``."""
    def load(self, thread: str, known_version: int = -1, message_ids: list[str] = ...) -> int:
        """Value: ``Snapshot``; ``None`` if the stored version is ``known_version``. Errors ``not_found``, ``deleted``."""
    def inbox(self, after_seq: int = 0, limit: int = 10_000) -> int:
        """Value: list of queued messages, by seq: what a start requeues. Not those of retired trees."""
    def outbox(self, after_key: str = "", limit: int = 10_000) -> int:
        """Value: list of ``(key, kind, target, body, call_id, thread, attempts, due_at)``, by key. Not those of retired trees."""
    def next_timer(self) -> int:
        """Value: due time of the earliest timer that can fire, or ``None``."""
    def thread(self, id: str) -> int:
        """Value: ``(id, root, parent, status, title, version, created_at, updated_at, header)`` or ``None``."""
    def threads(
        self,
        root: str | None = None,
        parent: str | None = None,
        status: str | None = None,
        after: str = "",
        limit: int = 100,
        troubled: bool = False,
    ) -> int:
        """Value: list of the rows above, newest ``updated_at`` first; ``troubled``: those alone that rest with a problem, by an index of their own, and those
        of which an earlier version did not say whether they do; ``after``: an opaque cursor ``"<updated_at>:<id>"`` of the last row seen."""
    def open_children(self, thread: str) -> int:
        """Value: how many children of the thread are not closed."""
    def living(self, root: str) -> int:
        """Value: how many threads below the root are not closed."""
    def entries(self, thread: str, after: int = -1, limit: int = 1000) -> int:
        """Value: list of ``(position, record)`` of the thread's own entries."""
    def feed(self, thread: str, after: int = -1, limit: int = 1000) -> int:
        """Value: list of ``(position, kind, json, entry_record | None)``; rows of kind ``entry`` carry the record they refer to."""
    def usage(
        self,
        since: int,
        until: int,
        by: list[str],
        root: str | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> int:
        """Value: list of ``(day, model, root, thread, turns, input, output, cache_read, cache_write, microdollars)``: sums of the days from ``since`` to
        ``until`` by some of ``day``, ``model``, ``root``, ``thread``; the others are ``None``, and so is whose a deleted thread's are. ``after``: rows to leave out."""
    def log(self, after: int = 0, limit: int = 1000) -> int:
        """Value: ``(oldest, newest, rows)``: the oldest and the newest number of the log, 0 if it is empty, and ``(seq, thread, root, first, last, at)`` of each
        row behind ``after``: what a commit has added to the stream of one thread, in the order of commits."""
    def calls(self, thread: str, open_only: bool = True) -> int:
        """Value: list of ``(record, state)`` where state may be ``sent``."""
    def find_call(self, call_id: str) -> int:
        """Value: ``(record, state)`` or ``None``."""
    def call_rows(self, thread: str, call: str | None = None, after: int = 0, limit: int = 100) -> int:
        """Value: list of ``(number, record, state, sent_at, ended_at, attempts, due_at, trouble)``, oldest first, behind the call of a number; or one call."""
    def prompts(self, thread: str | None = None, root: str | None = None) -> int:
        """Value: list of ``(id, thread, kind, body)`` that are pending: of one thread, of a whole tree, or all."""
    def attention(
        self, root: str | None = None, after: tuple[int, str, str] | None = None, limit: int = 100
    ) -> int:
        """Value: list of ``(thread, root, reason, since)``: threads that need a person, those that have for longest first; ``after``: since, thread and
        reason of the last row seen."""
    def timers(self, thread: str | None = None) -> int:
        """Value: list of ``(id, thread, due_at, kind, body)``."""
    def due_timers(self, after: tuple[int, str, str] | None = None, limit: int = 100) -> int:
        """As ``timers``, of all threads, the earliest first; ``after``: time, thread and id of the last row seen."""
    def deliveries(self, after: tuple[int, str] | None = None, limit: int = 100) -> int:
        """As ``outbox``, by the next try; ``after``: its time and the key of the last row seen."""
    def all_discards(self, before: int, limit: int) -> int:
        """Value: list of ``(number, thread, message_id, reason, at)``, newest first, before the one of a number."""
    def views(self, thread: str) -> int:
        """Value: list of ``(view_type, content)``."""
    def discards(self, thread: str, limit: int = 100) -> int:
        """Value: list of ``(message_id, reason, at)``, newest first."""
    def meta(self, key: str) -> int:
        """Value: bytes or ``None``."""
    def retired(self, root: str) -> int:
        """Value: the note of ``retire_tree``; ``None`` if the tree is in service."""
    def generation(self, root: str) -> int:
        """Value: ``(number, departed)``: how often the tree has left, and whether what rests here is what left."""
    def out_of_service(self, roots: list[str]) -> int:
        """Value: list of ``(root, note)`` of those trees that were retired."""
    def tombstone(self, id: str) -> int:
        """Value: ``(id, root, at, discarded)`` of a thread that was deleted, whether or not it is erased yet; else ``None``."""
    def deletions(self) -> int:
        """Value: roots of trees that were marked, and whose deletion is not over."""
    def closed_roots(self, limit: int = 100) -> int:
        """Value: list of ``(id, updated_at)``: closed root threads that are in service, those that changed longest ago first."""
    def spent(self, root: str) -> int:
        """Value: ``(tokens, microdollars)`` of the whole tree; ``(0, 0)`` before its first completion."""
    def counts(self) -> int:
        """Value: dict of ``threads``, ``entries``, ``inbox``, ``outbox``, ``timers``, ``seen``, ``discards``, ``prompts``."""

def examine_journal(path: str) -> str | None:
    """Read everything that a journal holds which nobody has open, and change nothing; ``None`` if there is none.

    Returns JSON: ``{"problems": [what is wrong, for people], "rows": {table: rows that were read}, "threads": [[id, the problem it rests with]]}``. ``locked`` if it is in use; ``storage`` if it cannot
    be read just now, which says nothing about it; ``too_new``.
    """

def exported_root(path: str) -> str:
    """The root of the tree that a file says it holds; the rest of it is not checked. ``damaged``, ``too_new``, ``storage``."""

def repair_journal(path: str) -> str:
    """Salvage what can be read of a damaged journal into a new one, which takes its place; the damaged files stay beside it.

    Returns a report as JSON: ``{"path", "damaged": where the old files are, "rows": {table: rows salvaged}, "lost": [what could not be read],
    "mended": [threads that go on with a note in place of what they lost]}``. It does so for a journal that opens, too.
    ``locked`` if the journal is in use; ``storage`` if there is nothing to repair, it cannot be read just now, or there is no space to do it.
    """
