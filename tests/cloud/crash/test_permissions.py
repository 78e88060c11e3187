"""Every scenario of the stage runs with the permissions of a deployment; these show that a permission that is missing is found by that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.crash.scenarios import ROOT

from infinity.cloud import start
from infinity.testing.tool_server import answering

from .host import CloudHost
from .minds import Held
from .runs import ended
from .scenarios import LARGE


async def test_a_large_result_is_committed_with_the_permissions_of_a_deployment(tmp_path: Path) -> None:
    """Its body is in the bucket twice: for the queue, and for the column."""
    async with CloudHost(tmp_path, Held(0), conflicts=0) as host:
        host.tools.behaviours["a"] = answering(LARGE * 2)
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        await root.said("all done")
        await ended(host)
        assert host.stage.mapping.partial == host.stage.mapping.failures == 0
        folders = {key.partition("/")[0] for key in host.aws.s3.objects("claims")}
        assert folders == {"claims", "records"}


@pytest.mark.parametrize("function", ["agent", "receiver"])
async def test_a_function_that_may_not_write_large_bodies_is_found_by_that(
    function: str, tmp_path: Path
) -> None:
    async with CloudHost(tmp_path, Held(0), conflicts=0) as host:
        statements = [_without(each, "s3:PutObject") for each in host.stage.policies[function]]
        host.stage.callers[function] = host.aws.permissions.give(statements)
        host.tools.behaviours["a"] = answering(LARGE * 2)
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        if function == "receiver":
            await host.until(lambda: 503 in host.tools.callback_statuses, "refusal")
        else:
            await host.until(lambda: host.stage.mapping.partial > 0, "failure")
        assert root.turns() == 1


def _without(statement: dict[str, Any], action: str) -> dict[str, Any]:
    actions: Sequence[str] = statement["Action"]
    return {**statement, "Action": [each for each in actions if each != action]}


async def test_a_large_result_that_becomes_a_dead_letter_is_kept_with_the_permissions_of_a_deployment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The function of the dead letters reads its body where the receiver has put it for the queue, and writes it for a column."""
    monkeypatch.setattr(start, "PATIENCE", 0.0)
    async with CloudHost(tmp_path, Held(0), receives=2, conflicts=0) as host:
        root = await host.create(ROOT)
        await host.say(ROOT, "begin")
        call = (await host.tools.invoked()).id
        await host.settled()
        await host.stage.mapping.disable()
        assert await host.tools.answer(call, LARGE * 2) == 200
        host.stage.database.refusing = True
        host.stage.database.cut()
        host.stage.mapping.enable()
        inbox = host.aws.sqs.queue(host.stage.inbox)
        await host.until(lambda: not inbox.messages(), "dead letter")
        host.stage.database.refusing = False
        await host.until(lambda: not host.stage.queued() and not host.stage.busy, "keeping")
        folders = {key.partition("/")[0] for key in host.aws.s3.objects("claims")}
        assert folders == {"claims", "records"}
        host.stage.clock.leap(900)
        await host.aws.lambdas.function("sweep").invoke(b"{}")
        await root.said("all done")
        await ended(host)
