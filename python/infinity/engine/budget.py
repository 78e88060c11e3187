"""Budgets of a thread tree: tokens and money. Reaching one pauses with a reason that the user sees and can lift."""

from __future__ import annotations

import msgspec

from infinity.abc import Store
from infinity.engine.slice.state import Slice

MICRODOLLARS = 1_000_000


class Allowance(msgspec.Struct, frozen=True, array_like=True):
    """What a tree had spent when its budget was last lifted."""

    tokens: int = 0
    microdollars: int = 0


async def exhausted(current: Slice) -> str | None:
    """What is used up, in words; ``None`` while the tree may go on. ``current.model`` is the one that would be asked."""
    limits = current.limits
    if not limits.tree_tokens and not limits.tree_dollars:
        return None
    if limits.tree_dollars and current.model is not None and current.model.price is None:
        return f"limits.tree_dollars cannot be kept: the price of the model {current.model.name} is not known; set price in [models.named] (four zeros if it is free), or remove the limit"
    store, root = current.services.store, current.thread.root
    tokens, microdollars = await store.spent(root)
    lifted = await allowed_on_top(store, root)
    tokens += current.spent_tokens
    dollars = (microdollars + current.spent_microdollars) / MICRODOLLARS
    most_tokens = limits.tree_tokens + lifted.tokens
    most_dollars = limits.tree_dollars + lifted.microdollars / MICRODOLLARS
    if limits.tree_tokens and tokens >= most_tokens:
        on_top = f", {lifted.tokens:,} of them allowed by resume" if lifted.tokens else ""
        return f"this conversation and its child threads have used {tokens:,} of {most_tokens:,} tokens (limits.tree_tokens{on_top})"
    if limits.tree_dollars and dollars >= most_dollars:
        on_top = (
            f", ${lifted.microdollars / MICRODOLLARS:.4f} of it allowed by resume"
            if lifted.microdollars
            else ""
        )
        return f"this conversation and its child threads have cost ${dollars:.4f} of ${most_dollars:.4f} (limits.tree_dollars{on_top})"
    return None


async def lift(store: Store, root: str) -> None:
    """Allow as much again from here on."""
    allowance = Allowance(*await store.spent(root))
    await store.put_meta(f"budget.{root}", msgspec.json.encode(allowance))


async def allowed_on_top(store: Store, root: str) -> Allowance:
    """What resuming has allowed beyond the limits."""
    data = await store.meta(f"budget.{root}")
    return Allowance() if data is None else msgspec.json.decode(data, type=Allowance)
