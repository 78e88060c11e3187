"""Budgets of a thread tree: tokens and money. Reaching one pauses with a reason that the user sees and can lift."""

from __future__ import annotations

import msgspec

from infinity.abc import Store
from infinity.engine.work import Slice

MICRODOLLARS = 1_000_000


class Allowance(msgspec.Struct, frozen=True, array_like=True):
    """What a tree had spent when its budget was last lifted."""

    tokens: int = 0
    microdollars: int = 0


async def exhausted(slice: Slice) -> str | None:
    """What is used up, in words; ``None`` while the tree may go on."""
    limits = slice.limits
    if not limits.tree_tokens and not limits.tree_dollars:
        return None
    store, root = slice.services.store, slice.thread.root
    tokens, microdollars = await store.spent(root)
    lifted = await _lifted(store, root)
    tokens += slice.spent_tokens - lifted.tokens
    dollars = (microdollars + slice.spent_microdollars - lifted.microdollars) / MICRODOLLARS
    if limits.tree_tokens and tokens >= limits.tree_tokens:
        return f"this conversation and its child threads have used {tokens:,} of {limits.tree_tokens:,} tokens (limits.tree_tokens)"
    if limits.tree_dollars and dollars >= limits.tree_dollars:
        return f"this conversation and its child threads have cost ${dollars:.4f} of ${limits.tree_dollars:.4f} (limits.tree_dollars)"
    return None


async def lift(store: Store, root: str) -> None:
    """Allow as much again from here on."""
    allowance = Allowance(*await store.spent(root))
    await store.put_meta(f"budget.{root}", msgspec.json.encode(allowance))


async def _lifted(store: Store, root: str) -> Allowance:
    data = await store.meta(f"budget.{root}")
    return Allowance() if data is None else msgspec.json.decode(data, type=Allowance)
