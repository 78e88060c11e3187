"""Dead letters keep their place: what the queue gave up is folded in before what its thread was told later, anyone who comes first (THR-1)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.crash.scenarios import ROOT

from infinity.cloud import order, start
from infinity.emulator.lambdas.mapping import EventSourceMapping, _record
from infinity.emulator.sqs.queue import Queue
from infinity.models.script import Reply

from .host import CloudHost
from .runs import ended
from .stage import TABLE

RECEIVES = 2
QUARTER = 900.0


def _dead(host: CloudHost) -> Queue:
    return host.aws.sqs.queue(host.stage.dead)


def _keeping(host: CloudHost) -> EventSourceMapping:
    """Which hands dead letters to their function."""
    return next(each for each in host.aws.lambdas.mappings if each.queue is _dead(host))


async def _keep_first(host: CloudHost) -> None:
    """The function gets one dead letter only."""
    first = _dead(host).messages()[0]
    event = {"Records": [_record(_dead(host), first, host.aws.region)]}
    outcome = await host.aws.lambdas.function("dead_letters").invoke(json.dumps(event).encode())
    assert outcome.value() == {"batchItemFailures": []}
    _dead(host)._remove(first)


async def _swept(host: CloudHost) -> None:
    host.stage.clock.leap(QUARTER)
    outcome = await host.aws.lambdas.function("sweep").invoke(b"{}")
    assert outcome.value() == {"overdue": 1, "woken": 1}


async def _heard(host: CloudHost, *texts: str) -> None:
    """The thread has heard these, in this order and once each, and everything is over."""
    await host.until(lambda: all(text in str(host.model.bodies[-1:]) for text in texts), "last of the texts")
    await ended(host)
    said = str(host.model.bodies[-1]["messages"])
    assert [said.count(text) for text in texts] == [1] * len(texts)
    assert sorted(texts, key=said.index) == list(texts)


@pytest.fixture
async def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[CloudHost]:
    """Two messages are dead, and nobody has kept them yet; the database is back."""
    monkeypatch.setattr(start, "PATIENCE", 0.0)
    async with CloudHost(tmp_path, lambda _: Reply().say("I see"), receives=RECEIVES, conflicts=0) as made:
        await made.create(ROOT)
        await _keeping(made).disable()
        await made.stage.mapping.disable()
        await made.say(ROOT, "number one")
        await made.say(ROOT, "number two")
        made.stage.database.refusing = True
        made.stage.database.cut()
        made.stage.mapping.enable()
        await made.until(lambda: len(_dead(made).messages()) == 2 and not made.stage.busy, "dead letter")
        made.stage.database.refusing = False
        yield made


async def _kept(host: CloudHost) -> None:
    _keeping(host).enable()
    await host.until(lambda: not _dead(host).messages() and not host.stage.busy, "keeping")
    host.patient = False


async def _waits(host: CloudHost, text: str = "") -> None:
    """What is said, or has been sent, waits for the dead letters; until they are kept it does not come back."""
    host.patient = True
    partial = host.stage.mapping.partial
    if text:
        await host.say(ROOT, text)
    host.stage.mapping.enable()
    await host.until(lambda: host.stage.mapping.partial > partial, "message that waits")
    assert not host.model.bodies


@pytest.mark.rap("THR-1")
@pytest.mark.trap("L10")
async def test_what_is_said_before_the_dead_letters_of_its_thread_are_kept_waits_for_them(
    host: CloudHost,
) -> None:
    await _waits(host, "number three")
    await _kept(host)
    await _heard(host, "number one", "number two", "number three")


@pytest.mark.rap("THR-1")
async def test_what_is_said_after_they_are_kept_takes_them_along_without_a_sweep(host: CloudHost) -> None:
    assert _order_known(host)
    await _kept(host)
    await host.say(ROOT, "number three")
    await _heard(host, "number one", "number two", "number three")
    assert not _order_known(host)


@pytest.mark.rap("THR-1")
async def test_a_sweep_that_comes_when_some_of_them_are_kept_waits_for_the_others(host: CloudHost) -> None:
    await _keep_first(host)
    await host.stage.mapping.disable()
    await _swept(host)
    await _waits(host)
    await host.say(ROOT, "number three")
    await _kept(host)
    await _heard(host, "number one", "number two", "number three")


@pytest.mark.rap("THR-1")
async def test_a_sweep_whose_wake_stands_behind_a_later_message_changes_nothing_of_the_order(
    host: CloudHost,
) -> None:
    await host.stage.mapping.disable()
    await host.say(ROOT, "number three")
    await _kept(host)
    await _swept(host)
    host.stage.mapping.enable()
    await _heard(host, "number one", "number two", "number three")


@pytest.mark.rap("THR-1")
async def test_a_message_that_dies_as_well_while_it_waits_keeps_its_place(host: CloudHost) -> None:
    await host.say(ROOT, "number three")
    await host.until(lambda: len(_dead(host).messages()) == 3, "third dead letter")
    await _waits(host, "number four")
    await _kept(host)
    await _heard(host, "number one", "number two", "number three", "number four")


async def test_a_dead_letter_that_nobody_ever_keeps_does_not_hold_up_its_thread_for_ever(
    host: CloudHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order, "WAITS", RECEIVES - 1)
    _dead(host).purge()
    await host.say(ROOT, "number three")
    await _heard(host, "number three")


def _order_known(host: CloudHost) -> bool:
    return any("order" in str(key) for key, _ in host.aws.dynamodb.table(TABLE).items())
