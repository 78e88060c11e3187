"""Scripts: what happens in a run, step by step, as plain data. Each step means the same whichever steps stand before it, so that a script can be shortened."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

from .faults import CONTRACTS, kinds_at
from .model import TROUBLES

__all__ = ["Script", "Step", "script_of"]


class Step(NamedTuple):
    """``what`` happens, to whom (``on``, an index that counts round), with which argument (``how``), and how many virtual seconds pass afterwards."""

    what: str
    on: int = 0
    how: str | int = ""
    times: int = 1
    then: float = 0.0


@dataclass(frozen=True, slots=True)
class Script:
    """``seed`` decides what the model and the tool servers do."""

    seed: int
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        lines = "".join(f"\n        {_shown(step)}," for step in self.steps)
        return f"Script(\n    {self.seed},\n    ({lines}\n    ),\n)"


def _shown(step: Step) -> str:
    defaults = Step("")
    given = [f"{name}={value!r}" for name, value in zip(step._fields, step, strict=True)][1:]
    usual = [f"{name}={value!r}" for name, value in zip(defaults._fields, defaults, strict=True)][1:]
    told = [one for one, other in zip(given, usual, strict=True) if one != other]
    return f"Step({', '.join([repr(step.what), *told])})"


PAUSES = (0.0, 0.0, 0.0, 0.001, 0.4, 5.0, 70.0, 4_000.0, 90_000.0)
HEART = ("transport.post", "transport.post", "store.commit", "store.record_attempt")
"""Methods at which faults are the most likely to matter."""
RARE = {
    "store.outbox_retry": 10,
    "store.views": 6,
    "store.put_view": 5,
    "store.feed": 4,
    "store.open_children": 3,
    "store.timers": 3,
    "store.calls": 3,
    "store.prompts": 3,
    "toolsets.load": 3,
    "store.find_call": 2,
}
"""Methods that are used seldom: their faults are planned so many times as often, and come at the first use."""
CONTROLS = ("interrupt", "interrupt", "stop", "resume", "resume", "compact")
CLOCK = (-86_400, -30, 30, 3_700, 800_000)
LENGTH = (15, 45)


def script_of(seed: int) -> Script:
    """The script that belongs to a seed."""
    chance = random.Random(seed)
    steps = [Step("create", then=1.0)]
    for _ in range(chance.randint(*LENGTH)):
        steps.append(_step(chance)._replace(then=chance.choice(PAUSES)))
    return Script(seed, tuple(steps))


def _step(chance: random.Random) -> Step:
    on = chance.randrange(1_000)
    what = chance.random()
    if what < 0.30:
        return Step("say", on, chance.randrange(6))
    if what < 0.36:
        return Step("burst", on, chance.randrange(4), chance.randint(2, 4))
    if what < 0.40:
        return Step("create")
    if what < 0.46:
        return Step("answer", on, chance.choice((0, 1, -1)))
    if what < 0.475:
        return Step("look", on)
    if what < 0.48:
        return Step("title", on, chance.randrange(3))
    if what < 0.56:
        return Step("control", on, chance.choice(CONTROLS))
    if what < 0.585:
        return Step("close a child", on)
    if what < 0.592:
        return Step("unsubscribe", on)
    if what < 0.597:
        return Step("cancel a call", on)
    if what < 0.60:
        return Step("end the answer", on)
    if what < 0.69:
        return Step("trouble", 0, chance.choice(sorted(TROUBLES)), chance.choice((1, 1, 2, 9)))
    if what < 0.87:
        at = _anywhere(chance) if chance.random() < 0.6 else chance.choice(HEART)
        skip = 0 if at in RARE else chance.randrange(4)
        return Step(f"fault {at}", skip, chance.choice(kinds_at(at)), chance.choice((1, 1, 2, 5, 12)))
    if what < 0.885:
        if chance.random() < 0.5:
            return Step("bad day", 0, chance.choice(sorted(TROUBLES)), chance.choice((1, 2, 5)))
        return Step("nothing is written", chance.randrange(2), "StoreError", chance.choice((1, 2, 5, 12)))
    if what < 0.91:
        return Step("kill")
    if what < 0.94:
        return Step("restart")
    if what < 0.96:
        return Step("servers change")
    if what < 0.98:
        return Step("clock", 0, chance.choice(CLOCK))
    return Step("retire", on) if what < 0.99 else Step("delete", on)


def _anywhere(chance: random.Random) -> str:
    methods = sorted(CONTRACTS)
    return chance.choices(methods, [RARE.get(method, 1) for method in methods])[0]
