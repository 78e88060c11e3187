"""Everything that goes wrong beside deaths, as a seed decides it: at each step that a process passes, so that a slow machine has no more of it than a quick one."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Literal

from infinity.emulator.faults import Fault
from infinity.emulator.sqs.queue import Message, Queue

from .faults import STYLES, anything, sometimes
from .host import CloudHost

__all__ = ["Trouble"]

FAILURES = 0.04
"""Probability that a request to AWS fails."""
TEARS = 0.02
"""Probability that a connection is lost in a COMMIT."""
RATES = {"early": 0.1, "late": 0.05, "twice": 0.05, "cut": 0.02, "outage": 0.02}
"""Probabilities at each step: a message comes back while it is worked on; it comes back late if it does at all; it is there twice; all connections to the
database break; a service is away for some requests."""
LATE = 330.0
"""Seconds; more than SQS knows an id for."""
AWAY = (4, 24)
"""Requests that fail while a service is away, and connections that nobody gets."""
SERVICES = ("sqs", "dynamodb", "s3", "scheduler", "ssm", "database")


class Trouble:
    """``happened``: how often each kind did."""

    def __init__(self, host: CloudHost, seed: int) -> None:
        self._host, self._chance = host, random.Random(seed)
        self.happened: Counter[str] = Counter()
        self._kinds: dict[str, Callable[[], bool]] = {
            "early": lambda: self._held_until(0.0),
            "late": lambda: self._held_until(self._chance.uniform(0, LATE)),
            "twice": self._twice,
            "cut": lambda: host.stage.database.cut() > 0,
            "outage": self._outage,
        }
        host.aws.faults.add("*", "*", sometimes(anything(seed), FAILURES, seed))
        host.stage.database.tear = self._tear
        host.stage.hooks.append(self._passing)

    def end(self) -> None:
        host = self._host
        host.stage.hooks.remove(self._passing)
        host.aws.faults.clear()
        host.stage.database.tear = lambda: ""
        host.stage.database.refuse = 0

    def _passing(self, _: str) -> None:
        for kind, rate in RATES.items():
            if self._chance.random() < rate and self._kinds[kind]():
                self.happened[kind] += kind != "outage"

    def _queue(self) -> Queue:
        return self._host.aws.sqs.queue(self._chance.choice((self._host.stage.inbox, self._host.stage.delay)))

    def _held_until(self, seconds: float) -> bool:
        queue, now = self._queue(), self._host.stage.clock.now()
        held = [each for each in queue.messages() if each.in_flight and each.visible_at > now]
        if held:
            queue.change_visibility(queue.handle(self._chance.choice(held)), int(seconds * 1000))
        return bool(held)

    def _twice(self) -> bool:
        queue = self._queue()
        messages: list[Message] = queue.messages()
        if not messages:
            return False
        message = self._chance.choice(messages)
        copy = {"QueueUrl": self._host.stage.inbox, "MessageBody": message.body}
        if message.group_id:
            # As if it had been sent again after the queue had forgotten its id.
            copy |= {
                "MessageGroupId": message.group_id,
                "MessageDeduplicationId": f"copy-{self.happened['twice']}",
            }
        else:
            copy["QueueUrl"] = self._host.stage.delay
        self._host.aws.sqs.send_message(copy)
        return True

    def _outage(self) -> bool:
        service, style = self._chance.choice(SERVICES), self._chance.choice(list(STYLES))
        requests = self._chance.randint(*AWAY)
        if service == "database":
            self._host.stage.database.refuse = requests // 4
            self._host.stage.database.cut()
        else:
            fault: Fault = STYLES[style]
            rule = self._host.aws.faults.add(service, "*", fault, times=requests)
            # Before the rule for everything.
            self._host.aws.faults.rules.remove(rule)
            self._host.aws.faults.rules.insert(0, rule)
        self.happened[f"outage of {service}"] += 1
        return True

    def _tear(self) -> Literal["", "before", "after"]:
        if self._chance.random() >= TEARS:
            return ""
        self.happened["torn commit"] += 1
        return self._chance.choice(("before", "after"))
