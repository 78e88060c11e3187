"""What only this host's users live through, in the manner of ``tests.crash.scenarios``."""

from __future__ import annotations

import json
from typing import cast

from tests.crash.clients import Clients
from tests.crash.scenarios import Scenario
from tests.crash.watch import Watch

from infinity.models.script import Script
from infinity.testing.tool_server import answering

from .host import CloudHost

LARGE = "x" * 1_048_000
"""With what stands around it, more than a queue or a column takes."""
_SLICES = frozenset({"loaded", "prepared", "completed", "dispatched", "committed", "yielded"})


def answered(host: Clients) -> None:
    host.tools.behaviours |= {"a": answering(LARGE), "b": answering("from b")}


async def _everything(host: Clients, root: Watch) -> None:
    answered(host)
    await host.say(root.thread, "begin")
    await root.said("all done")


EVERYTHING = Scenario(
    "everything that needs a service",
    Script()
    .when_result("spawn_thread", "You are now in the child thread")
    .call("close_thread", report="found it")
    .when("begin")
    .say("I begin.")
    .call("a", n=1)
    .when_result("a")
    .call("spawn_thread", instructions="find it")
    .when_result("spawn_thread")
    .say("I wait.")
    .when_event("spawn_thread", "found it")
    .call("sleep", seconds=0.2)
    .when_result("sleep")
    .call("b", n=2)
    .when_result("b")
    .say("all done"),
    _everything,
    _SLICES | {"accepted", "sending", "posted", "sent"},
)


async def _plain(host: Clients, root: Watch) -> None:
    cloud = cast("CloudHost", host)
    for text in ("begin", "go on"):
        message = {"content": {"type": "text", "text": text}, "group_id": "said-by-hand"}
        cloud.aws.sqs.send_message(
            {
                "QueueUrl": cloud.stage.inbox,
                "MessageBody": json.dumps(message),
                "MessageGroupId": "said-by-hand",
                "MessageDeduplicationId": text.replace(" ", "-"),
            }
        )
        await host.watch("said-by-hand").said(f"heard {text}")


PLAIN = Scenario(
    "a person with the AWS CLI",
    Script().when("go on").say("heard go on").when("begin").say("heard begin"),
    _plain,
    _SLICES,
)
