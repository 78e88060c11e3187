"""What can go wrong with AWS, switched on by a test for one service and operation.

    aws.faults.add("dynamodb", "PutItem", throttled(), times=2)
    rule = aws.faults.add("sqs", "*", broken(503))
    ...
    rule.remove()

A fault stands around an operation: it may refuse before the operation's effect, cut the connection after
it, or wait. Waiting is by the emulator's clock. A rule with ``times`` is spent after that many; the first
rule that matches is the one that acts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from .clock import Timeline
from .failure import AwsError, ConnectionReset
from .protocols import Service
from .wire import Reply, Request

__all__ = ["Attempt", "Fault", "Faults", "Gate", "Rule", "broken", "refused", "reset", "slow", "throttled"]


@dataclass(frozen=True)
class Attempt:
    """One call that a fault may spoil. ``act`` does what was asked; ``request`` is ``None`` where AWS calls
    itself (a schedule that fires).
    """

    service: Service
    operation: str
    request: Request | None
    timeline: Timeline
    act: Callable[[], Awaitable[Reply]]


Fault = Callable[[Attempt], Awaitable[Reply]]


def throttled(code: str | None = None) -> Fault:
    """A fault: refused for being called too often, without effect.

    Args:
        code: Replaces the service's usual code (``ThrottlingException`` …).
    """

    async def fault(attempt: Attempt) -> Reply:
        usual = attempt.service.throttled()
        raise AwsError(code or usual.code, usual.message, usual.status)

    return fault


def broken(status: int = 500, *, after: bool = False) -> Fault:
    """A fault: an internal error.

    Args:
        status: 500, or 503 for ``ServiceUnavailable``.
        after: Whether the effect happened before the error, so that a retry meets its own work.
    """

    async def fault(attempt: Attempt) -> Reply:
        if after:
            await attempt.act()
        code = "ServiceUnavailable" if status == 503 else "InternalServerError"
        raise AwsError(code, "We encountered an internal error. Please try again.", status)

    return fault


def refused(code: str, message: str = "refused by the test", status: int = 400) -> Fault:
    """A fault: any refusal, without effect; such as ``AccessDeniedException``."""

    async def fault(_: Attempt) -> Reply:
        raise AwsError(code, message, status)

    return fault


def reset(*, after: bool = False) -> Fault:
    """A fault: the connection is cut in place of an answer.

    Args:
        after: Whether the effect happened before; the caller cannot tell.
    """

    async def fault(attempt: Attempt) -> Reply:
        if after:
            await attempt.act()
        raise ConnectionReset

    return fault


def slow(seconds: float, *, after: bool = False) -> Fault:
    """A fault: the answer takes long by the emulator's clock.

    Args:
        seconds: How long.
        after: Whether the effect happens before the wait, or at its end.
    """

    async def fault(attempt: Attempt) -> Reply:
        reply = await attempt.act() if after else None
        await attempt.timeline.sleep(int(seconds * 1000))
        return reply or await attempt.act()

    return fault


class Gate:
    """A fault that holds calls until it is opened.

    Args:
        after: Whether the effect of a held call has happened already.
    """

    def __init__(self, *, after: bool = False) -> None:
        self._after = after
        self._arrived, self._open = asyncio.Event(), asyncio.Event()

    async def __call__(self, attempt: Attempt) -> Reply:
        reply = await attempt.act() if self._after else None
        self._arrived.set()
        await self._open.wait()
        return reply or await attempt.act()

    async def arrived(self) -> None:
        """Wait until the first call is held."""
        await self._arrived.wait()

    def open(self) -> None:
        """Let all held calls go on, and later ones pass."""
        self._open.set()


class Rule:
    """One fault for one service and operation. ``hits``: how often it acted; ``left``: how often it still
    will.
    """

    def __init__(
        self,
        faults: Faults,
        names: tuple[str, str],
        fault: Fault,
        times: int | None,
        where: Callable[[Any], bool] | None,
    ) -> None:
        self._faults = faults
        self._service, self._operation = names
        self._where = where
        self.fault = fault
        self.left = times
        self.hits = 0
        """How often it acted."""

    def remove(self) -> None:
        if self in self._faults.rules:
            self._faults.rules.remove(self)

    def matches(self, service: str, operation: str, request: Request | None) -> bool:
        """Whether the rule is for this call. A rule with ``where`` matches no call that AWS makes itself."""
        if self._service not in ("*", service) or self._operation not in ("*", operation):
            return False
        return self._where is None or (request is not None and self._where(request))

    def spend(self) -> None:
        self.hits += 1
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                self.remove()


class Faults:
    """The rules in force."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def add(
        self,
        service: str,
        operation: str,
        fault: Fault,
        *,
        times: int | None = None,
        where: Callable[[Request], bool] | None = None,
    ) -> Rule:
        """Put a rule in force, behind those that are there.

        Args:
            service: Its name in a signature's scope, or ``"*"``.
            operation: Its name, or ``"*"``.
            fault: What happens instead of, before or after the operation.
            times: How often it acts; ``None`` is always.
            where: Looks at the request, its ``body`` included.

        Returns:
            The rule, which counts and can be removed.
        """
        rule = Rule(self, (service, operation), fault, times, where)
        self.rules.append(rule)
        return rule

    def clear(self) -> None:
        self.rules.clear()

    async def around(self, attempt: Attempt) -> Reply:
        """Make a call, spoilt by the first rule that matches it."""
        for rule in self.rules:
            if rule.matches(attempt.service.name, attempt.operation, attempt.request):
                # Spent before it acts: a call that is made while this one waits meets the next rule.
                rule.spend()
                return await rule.fault(attempt)
        return await attempt.act()
