"""Faults that come and go, as in an hour that AWS would rather forget."""

from __future__ import annotations

import random

from infinity.emulator.faults import Attempt, Fault, broken, reset, throttled
from infinity.emulator.wire import Reply

__all__ = ["STYLES", "anything", "sometimes", "unreachable"]


def sometimes(fault: Fault, probability: float, seed: int = 1) -> Fault:
    """By a seed; what is not spoiled goes through."""
    chance = random.Random(seed)

    async def perhaps(attempt: Attempt) -> Reply:
        return await (fault(attempt) if chance.random() < probability else attempt.act())

    return perhaps


def unreachable() -> Fault:
    """Nobody answers, and nothing happens."""
    return reset()


STYLES: dict[str, Fault] = {
    "throttled": throttled(),
    "out of order": broken(500),
    "out of order after the effect": broken(503, after=True),
    "cut off": reset(),
    "cut off after the effect": reset(after=True),
}


def anything(seed: int) -> Fault:
    """One of them, another one each time."""
    chance = random.Random(seed)

    async def fault(attempt: Attempt) -> Reply:
        return await chance.choice(list(STYLES.values()))(attempt)

    return fault
