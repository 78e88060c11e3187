"""Compaction: an old part of history is summarised by a child thread in the background, while the thread goes on.

The child inherits exactly the range, so that it shares the provider's prompt cache with its parent; its one turn is the summary. Entries stay; a
``summary`` entry stands for the range in what is rendered. Applying it is a compare-and-swap on the range. At most one runs per thread, a failed one
changes nothing and is not tried again at once (B9).
"""

from __future__ import annotations

import msgspec

from infinity._core import CoreError, Message
from infinity.abc import Origin, Range, Turn
from infinity.backoff import Backoff
from infinity.engine import children
from infinity.engine.content import admitted
from infinity.engine.endings import closing
from infinity.engine.memo import glance, recall, remember
from infinity.engine.optional import optional
from infinity.engine.slice.state import Slice
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


def is_summariser(current: Slice) -> bool:
    """Whether this thread is a compaction's child."""
    return Origin.of(current.thread).compaction is not None


def consider(current: Slice) -> None:
    """Start one if the context has outgrown its share of the model's window. Optional: it never fails the slice that paid for a turn."""
    if current.thread.status != "closed" and not closing(current):
        optional("compaction", current.thread.id, lambda: _consider(current))


def _consider(current: Slice) -> None:
    window = current.model.context_window if current.model is not None else 0
    if window and current.thread.context_tokens > current.limits.compact_above * window:
        memo = glance(current.thread)
        if memo.compaction is None and current.now >= memo.compact_not_before:
            start(current)


def start(current: Slice, *, keep: int = KEEP) -> str | None:
    """Fork the summariser; ``None``, or why that is not possible now."""
    memo = recall(current.thread)
    if memo.compaction is not None:
        return f"a compaction is running already ({memo.compaction})"
    found = _range(current, keep, memo.compaction_failures)
    if found is None:
        return "there is nothing to compact: the history is too short"
    begin, end = found
    child_id = children.child_id(current, f"compaction.{begin}.{end}.{memo.compaction_failures}")
    child = children.fork(current, child_id, Origin(compaction=Range(begin, end)), upto=end)
    child.add_user(msgspec.json.encode(text_blocks(INSTRUCTIONS)), now=current.now)
    memo.compaction = child_id
    remember(current.thread, memo)
    current.note("compaction", state="started", child=child_id, start=begin, end=end)
    return None


def forsake(current: Slice) -> None:
    """The summariser is gone, or was stopped by an earlier version: nothing is waited for any more (B9)."""
    memo = recall(current.thread)
    current.note(
        "compaction", state="failed", child=memo.compaction, text="its thread is gone or was stopped"
    )
    memo.compaction, memo.blocked = None, False
    memo.compaction_failures += 1
    remember(current.thread, memo)


def _range(current: Slice, keep: int, failures: int) -> tuple[int, int] | None:
    """What to summarise. After failures less of it each time, because it may be too much for one request; where the window is nearly full or the thread
    has a problem, fewer entries than usual are kept: its last ones may be what is too long."""
    entries = current.thread.live_entries()
    keep = max(keep, entries - (entries >> failures)) if failures else keep
    window = current.model.context_window if current.model is not None else 0
    full = window and current.thread.context_tokens > current.limits.compact_above * window
    pressing = full or current.thread.problem is not None or current.thread.pending
    found = current.thread.summary_range(keep)
    for fewer in FEWER if pressing else ():
        if found is None and fewer < keep:
            found = current.thread.summary_range(fewer)
            # A summary of next to nothing gains nothing.
            found = None if found is not None and found[1] - found[0] < LEAST else found
    return found


def unblock(current: Slice) -> str | None:
    """The provider says that the context is too long: summarise the older half, which fits, and wait. Why not, if that cannot be."""
    if is_summariser(current):
        return "even the part to be summarised is too long for the model"
    if glance(current.thread).compaction is None:
        problem = start(current, keep=max(KEEP, current.thread.live_entries() // 2))
        if problem is not None:
            return problem
    memo = recall(current.thread)
    memo.blocked = True
    remember(current.thread, memo)
    return None


def finish(current: Slice, turn: Turn | None) -> None:
    """In the summariser: its turn is the summary; without one, say what was wrong. Either way its work is done (L12)."""
    if turn is None and current.thread.pending:
        return  # A timer wakes it to try again.
    text = "".join(block["text"] for block in turn.blocks if block["type"] == "text").strip() if turn else ""
    task = Origin.of(current.thread).compaction
    assert task is not None and current.thread.parent is not None
    cut = turn is not None and turn.stop_reason in ("refusal", "max_tokens", "interrupted")
    body = Summary(
        child=current.thread.id,
        start=task.start,
        end=task.end,
        text=(f"the summary was not finished ({turn.stop_reason})" if cut and turn else text)
        or current.thread.problem
        or "the model wrote nothing",
        failed=cut or not text,
    )
    if turn is not None:
        usage, cost = turn.usage, current.spend(turn.usage)
        spent = (usage.input, usage.output, usage.cache_read, usage.cache_write)
        current.thread.add_turn(
            msgspec.json.encode(text_blocks(body.text)),
            [],
            now=current.now,
            usage=spent,
            cost=cost,
            meta=current.figures(turn, cost),
        )
    current.thread.send(current.thread.parent, f"summary.{current.thread.id}", Kind.SUMMARY, encode(body))
    current.thread.close()
    current.note("status", status="closed")


def apply(current: Slice, message: Message, body: Summary) -> None:
    """In the thread: put the summary in the place of its range, if that is still what it was."""
    memo = recall(current.thread)
    if memo.compaction != body.child:
        current.discard(message, "another compaction has taken its place")
        return
    problem = body.text if body.failed else _replace(current, body)
    if problem is None:
        memo.compaction_failures = memo.compact_not_before = 0
        current.note("compaction", state="applied", child=body.child, start=body.start, end=body.end)
    else:
        rest = REST.wait(memo.compaction_failures)
        current.note("compaction", state="failed", child=body.child, text=problem)
        if memo.blocked:
            current.thread.set_pending(False)
            current.problem(
                "context_too_long",
                f"the history is too long for the model and could not be compacted: {problem}",
            )
        memo.compaction_failures += 1
        memo.compact_not_before = current.now + int(rest * 1000)
    memo.compaction, memo.blocked = None, False
    remember(current.thread, memo)
    current.thread.consume(message)


def _replace(current: Slice, body: Summary) -> str | None:
    blocks = msgspec.json.encode(admitted(text_blocks(HEADING + body.text))[0])
    try:
        current.thread.add_summary(body.start, body.end, blocks, now=current.now)
    except CoreError as error:
        code, text = error.args
        if code not in ("conflict", "rule"):
            raise
        return str(text)
    return None
