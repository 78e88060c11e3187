"""Runs of the thread machine that are written out: each brings threads into one of the states that random runs rarely reach, and goes on from there.

After every step the invariants hold, as in the random runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.property.test_thread_machine import ThreadMachine

from infinity.message import Action

Step = Callable[[ThreadMachine, str], Any]


def speaks(key: int) -> Step:
    return lambda machine, thread: machine.user_speaks(thread, key, settle=True)


def asks(kind: str, pick: int = 0) -> Step:
    return lambda machine, _: machine.a_tool_asks(pick, kind, late=False, settle=True)


def answers(selected: int | None, pick: int = 0) -> Step:
    return lambda machine, _: machine.the_user_answers(pick, selected, settle=True)


def early_event(number: int) -> Step:
    return lambda machine, _: machine.an_event_before_its_confirmation(0, number, settle=True)


def result(pick: int = 0, *, subscription: bool = False) -> Step:
    return lambda machine, _: machine.result(pick, subscription, settle=True)


def fails(trouble: str, times: int) -> Step:
    return lambda machine, _: machine.the_model_fails(trouble, times)


def passes(seconds: int) -> Step:
    return lambda machine, _: machine.time_passes(seconds)


def control(action: Action) -> Step:
    return lambda machine, thread: machine.control(thread, action, settle=True)


def full(times: int) -> Step:
    return lambda machine, _: machine.the_disk_is_full_for_a_while(times)


def in_haste(key: int) -> Step:
    """What is said begins a slice that nobody waits for."""
    return lambda machine, thread: machine.user_speaks(thread, key, settle=False)


def time_comes(seconds: int) -> Step:
    """As ``passes``, but what becomes due then is not waited for."""
    return lambda machine, _: machine.run(machine.advance(seconds))


def bought(machine: ThreadMachine, _: str) -> None:
    machine.run(machine.until_a_turn_is_bought())


def everybody_speaks(machine: ThreadMachine, _: str) -> None:
    for thread in machine.made:
        machine.user_speaks(thread, 1, settle=True)


def last_is_unlucky(machine: ThreadMachine, _: str) -> None:
    machine.world.unlucky.add(machine.made[-1])


def perhaps_bought(machine: ThreadMachine, _: str) -> None:
    """What is queued is worked on, and the turn is not committed."""
    machine.run(machine.until_a_turn_is_bought(or_rest=True))


def restart(machine: ThreadMachine, _: str) -> None:
    machine.restart()


def crash(machine: ThreadMachine, _: str) -> None:
    machine.crash()


SCRIPTS: dict[str, list[Step]] = {
    "a question that nobody answers": [asks("choice"), restart, passes(4000), passes(700_000), speaks(1)],
    "a sign-in that nobody makes": [asks("oauth"), crash, passes(700_000), speaks(1)],
    "a question and a sign-in of one call": [asks("choice"), asks("oauth"), answers(1), passes(700_000)],
    "a question that is answered and asked again": [
        asks("choice", 2),
        answers(0),
        asks("choice", 4),
        passes(700_000),
    ],
    "a question whose call ends": [asks("choice"), result(0), passes(700_000)],
    "a question of a thread that is interrupted": [
        asks("choice"),
        control(Action.INTERRUPT),
        passes(700_000),
    ],
    "events before their confirmation": [early_event(1), early_event(2), crash, result(0, subscription=True)],
    "events of a call that confirms nothing": [early_event(1), restart, result(0), speaks(1)],
    "events of a call that is interrupted": [early_event(1), control(Action.INTERRUPT), speaks(1)],
    "turns that the disk cannot take": [full(1), speaks(1), full(3), speaks(2), restart, speaks(3)],
    "a turn that a restart loses": [full(2), in_haste(1), bought, restart, passes(61), speaks(2)],
    "a turn that every restart loses": [
        step for key in range(5) for step in (full(2), in_haste(key), bought, restart)
    ],
    "attempts that the disk cannot take": [fails("a bug", 3), full(2), speaks(1), passes(61), passes(4000)],
    "an attempt that neither the disk nor a stop could take": [
        fails("a broken stream", 1),
        full(2),
        in_haste(0),
        restart,
    ],
    "a bug of the provider that stays": [
        *[fails("a bug", 9)] * 4,
        *[step for key in range(5) for step in (speaks(key), passes(4000))],
    ],
    "a bug of the provider behind paid words": [
        *[fails("a bug in a stream", 9)] * 4,
        *[step for key in range(5) for step in (speaks(key), passes(4000))],
    ],
    "a bug of the provider and crashes": [
        *[fails("a bug in a stream", 9)] * 4,
        *[step for key in range(5) for step in (speaks(key), crash)],
    ],
    "an expired key": [
        fails("an expired key", 9),
        speaks(1),
        speaks(2),
        passes(4000),
        restart,
        passes(700_000),
    ],
    "a key that works again, and crashes behind every turn that was waiting for it": [
        *(fails("an expired key", 2), everybody_speaks, last_is_unlucky, time_comes(700_000), perhaps_bought),
        *[step for _ in range(25) for step in (perhaps_bought, crash)],
    ],
    "throttling, and somebody who resumes": [
        *[fails("throttled", 9)] * 4,
        *[step for key in range(4) for step in (speaks(key), passes(4000), control(Action.RESUME))],
    ],
}


@pytest.mark.trap("L22", "L24", "R7", "R9")
@pytest.mark.parametrize("name", SCRIPTS)
def test_the_invariants_hold_in_this_run(name: str) -> None:
    machine = ThreadMachine()
    thread = machine.begin(seed=7, count=2).values[0]
    try:
        for step in SCRIPTS[name]:
            step(machine, thread)
            machine.everything_holds()
    finally:
        machine.teardown()
