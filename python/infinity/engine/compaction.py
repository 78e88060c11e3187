"""Compaction: an old part of history is summarised by a child thread in the background, while the thread goes on.

The child inherits exactly the range, so that it shares the provider's prompt cache with its parent; its one turn is the summary. Entries stay; a
``summary`` entry stands for the range in what is rendered. Applying it is a compare-and-swap on the range. At most one runs per thread, a failed one
changes nothing and is not tried again at once (B9).
"""

from __future__ import annotations

from infinity._core import CoreError, Message
from infinity.abc import Origin, Range, Turn
from infinity.backoff import Backoff
from infinity.engine.content import admitted
from infinity.engine.endings import closing
from infinity.engine.memo import glance, recall, remember
from infinity.engine.optional import optional
from infinity.engine.work import Slice, encode_json
from infinity.message import Kind, Summary, encode, text_blocks

KEEP = 8
"""Entries at the end that a compaction leaves as they are."""

FEWER = (KEEP, 4, 2, 1)
"""Where that is too much."""
LEAST = 3
"""Entries that are worth a summary then."""

REST = Backoff(first=60.0, longest=3600.0)
"""Seconds before another try after a failure; doubling."""

INSTRUCTIONS = """\
Summarise the conversation up to here for yourself, so that you can go on with it when the original is left out. Keep: what the user wants and said about \
how; facts, names, numbers, ids and paths that may matter again; decisions and their reasons; what was done and with what result; what is still open; the \
tool_call_ids of running calls and active subscriptions and the ids of child threads. Write the summary only, as plain text, and call no tool."""

HEADING = "Summary of the conversation so far; the original is left out.\n\n"


def is_summariser(slice: Slice) -> bool:
    """Whether this thread is a compaction's child."""
    return Origin.of(slice.thread).compaction is not None


def consider(slice: Slice) -> None:
    """Start one if the context has outgrown its share of the model's window. Optional: it never fails the slice that paid for a turn."""
    if slice.thread.status != "closed" and not closing(slice):
        optional("compaction", slice.thread.id, lambda: _consider(slice))


def _consider(slice: Slice) -> None:
    window = slice.model.context_window if slice.model is not None else 0
    if window and slice.thread.context_tokens > slice.limits.compact_above * window:
        memo = glance(slice.thread)
        if memo.compaction is None and slice.now >= memo.compact_not_before:
            start(slice)


def start(slice: Slice, *, keep: int = KEEP) -> str | None:
    """Fork the summariser; ``None``, or why that is not possible now."""
    memo = recall(slice.thread)
    if memo.compaction is not None:
        return f"a compaction is running already ({memo.compaction})"
    found = _range(slice, keep, memo.compaction_failures)
    if found is None:
        return "there is nothing to compact: the history is too short"
    begin, end = found
    child_id = slice.child_id(f"compaction.{begin}.{end}.{memo.compaction_failures}")
    child = slice.fork(child_id, Origin(compaction=Range(begin, end)), upto=end)
    child.add_user(encode_json(text_blocks(INSTRUCTIONS)), now=slice.now)
    memo.compaction = child_id
    remember(slice.thread, memo)
    slice.note("compaction", state="started", child=child_id, start=begin, end=end)
    return None


def forsake(slice: Slice) -> None:
    """The summariser is gone, or was stopped by an earlier version: nothing is waited for any more (B9)."""
    memo = recall(slice.thread)
    slice.note("compaction", state="failed", child=memo.compaction, text="its thread is gone or was stopped")
    memo.compaction, memo.blocked = None, False
    memo.compaction_failures += 1
    remember(slice.thread, memo)


def _range(slice: Slice, keep: int, failures: int) -> tuple[int, int] | None:
    """What to summarise. After failures less of it each time, because it may be too much for one request; where the window is nearly full or the thread
    has a problem, fewer entries than usual are kept: its last ones may be what is too long."""
    entries = slice.thread.live_entries()
    keep = max(keep, entries - (entries >> failures)) if failures else keep
    window = slice.model.context_window if slice.model is not None else 0
    full = window and slice.thread.context_tokens > slice.limits.compact_above * window
    pressing = full or slice.thread.problem is not None or slice.thread.pending
    found = slice.thread.summary_range(keep)
    for fewer in FEWER if pressing else ():
        if found is None and fewer < keep:
            found = slice.thread.summary_range(fewer)
            # A summary of next to nothing gains nothing.
            found = None if found is not None and found[1] - found[0] < LEAST else found
    return found


def unblock(slice: Slice) -> str | None:
    """The provider says that the context is too long: summarise the older half, which fits, and wait. Why not, if that cannot be."""
    if is_summariser(slice):
        return "even the part to be summarised is too long for the model"
    if glance(slice.thread).compaction is None:
        problem = start(slice, keep=max(KEEP, slice.thread.live_entries() // 2))
        if problem is not None:
            return problem
    memo = recall(slice.thread)
    memo.blocked = True
    remember(slice.thread, memo)
    return None


def finish(slice: Slice, turn: Turn | None) -> None:
    """In the summariser: its turn is the summary; without one, say what was wrong. Either way its work is done (L12)."""
    if turn is None and slice.thread.pending:
        return  # A timer wakes it to try again.
    text = "".join(block["text"] for block in turn.blocks if block["type"] == "text").strip() if turn else ""
    task = Origin.of(slice.thread).compaction
    assert task is not None and slice.thread.parent is not None
    cut = turn is not None and turn.stop_reason in ("refusal", "max_tokens", "interrupted")
    body = Summary(
        child=slice.thread.id,
        start=task.start,
        end=task.end,
        text=(f"the summary was not finished ({turn.stop_reason})" if cut and turn else text)
        or slice.thread.problem
        or "the model wrote nothing",
        failed=cut or not text,
    )
    if turn is not None:
        usage = turn.usage
        spent = (usage.input, usage.output, usage.cache_read, usage.cache_write)
        slice.thread.add_turn(
            encode_json(text_blocks(body.text)),
            [],
            now=slice.now,
            usage=spent,
            cost=slice.spend(usage),
            meta=encode_json({"model": slice.asks, "stop_reason": turn.stop_reason, "usage": usage}),
        )
    slice.thread.send(slice.thread.parent, f"summary.{slice.thread.id}", Kind.SUMMARY, encode(body))
    slice.thread.close()
    slice.note("status", status="closed")


def apply(slice: Slice, message: Message, body: Summary) -> None:
    """In the thread: put the summary in the place of its range, if that is still what it was."""
    memo = recall(slice.thread)
    if memo.compaction != body.child:
        slice.discard(message, "another compaction has taken its place")
        return
    problem = body.text if body.failed else _replace(slice, body)
    if problem is None:
        memo.compaction_failures = memo.compact_not_before = 0
        slice.note("compaction", state="applied", child=body.child, start=body.start, end=body.end)
    else:
        rest = REST.wait(memo.compaction_failures)
        slice.note("compaction", state="failed", child=body.child, text=problem)
        if memo.blocked:
            slice.thread.set_pending(False)
            slice.problem(
                "context_too_long",
                f"the history is too long for the model and could not be compacted: {problem}",
            )
        memo.compaction_failures += 1
        memo.compact_not_before = slice.now + int(rest * 1000)
    memo.compaction, memo.blocked = None, False
    remember(slice.thread, memo)
    slice.thread.consume(message)


def _replace(slice: Slice, body: Summary) -> str | None:
    blocks = encode_json(admitted(text_blocks(HEADING + body.text))[0])
    try:
        slice.thread.add_summary(body.start, body.end, blocks, now=slice.now)
    except CoreError as error:
        code, text = error.args
        if code not in ("conflict", "rule"):
            raise
        return str(text)
    return None
