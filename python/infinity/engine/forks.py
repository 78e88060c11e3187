"""Forks: a person goes on from an earlier point of a thread another way.

A fork is a thread of the same tree that inherits what came before by reference, so that budget, export and deletion hold for it. It answers to people alone: it
reports to nobody, its model cannot close it, and it does not count for the limits of children. Making one changes no other thread, so that no slice is in
its way: it comes into being with a commit of its own, as a conversation does.
"""

from __future__ import annotations

import msgspec

from infinity._core import CoreError, Delta
from infinity.abc import FORK, Origin, Store, ThreadRow
from infinity.engine import prompts
from infinity.engine.memo import Memo, Simpler, glance, remember
from infinity.engine.past import before
from infinity.errors import NoFork, RuleBroken, from_core
from infinity.message import text_blocks

__all__ = ["begun"]


async def begun(
    store: Store,
    row: ThreadRow,
    at: int,
    fork: str,
    *,
    now: int,
    model: str | None,
    title: str,
    tools: str,
) -> Delta:
    """What brings a fork into being, to be committed.

    Args:
        store: Where the thread is.
        row: The thread.
        at: The position of the first of its entries that the fork does not inherit.
        fork: The id of the fork.
        now: In ms since the epoch.
        model: In place of the thread's.
        title: Of the fork.
        tools: ``ask`` or ``deny``: before its calls leave, beside the policy; anything else: the policy alone.

    Raises:
        NoFork: No fork can begin there.
        DamagedStore: What it would inherit is missing or cannot be read.
        NewerStore: A newer version wrote it.
    """
    try:
        past = await before(store, row, at)
        above = Origin.of(past)
        origin = Origin(
            FORK,
            arguments={"thread": row.id, "at": at},
            tools=tools if tools in ("ask", "deny") else "",
            forks=above.forks + 1,
        )
        seed = text_blocks(prompts.forked_seed(fork, row.id))
        made = past.branch(
            fork,
            now=now,
            origin=msgspec.json.encode(origin),
            seed=msgspec.json.encode(seed),
            title=title,
            model=model,
        )
        simpler = glance(past).simpler
        if simpler != Simpler():
            remember(made, Memo(simpler=simpler))
        return made.delta(now)
    except RuleBroken as error:
        raise NoFork(str(error)) from None
    except CoreError as error:
        failure = from_core(error)
        if isinstance(failure, RuleBroken):
            raise NoFork(str(failure)) from None
        raise failure from error
