"""One function: its environments, of which each runs one invocation at a time and is used again.

Mappings, URLs and events invoke it. An environment that ended is never used again, so that what a process
keeps between invocations is lost with it, as on Lambda.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from ..clock import Timeline
from ..failure import AwsError
from .in_process import InProcess
from .invocation import MAX_PAYLOAD, Invocation, Outcome, failed
from .process import Process
from .settings import FunctionSettings

__all__ = ["Environment", "Function"]

KEPT_OUTCOMES = 1000
KEPT_LINES = 5000


class Environment(Protocol):
    @property
    def alive(self) -> bool: ...

    async def run(self, invocation: Invocation) -> Outcome:
        """However it ends. An environment that was killed is not alive afterwards."""
        ...

    def kill(self) -> None:
        """End at once, as SIGKILL does; what is running fails."""
        ...

    async def close(self) -> None: ...


class Function:
    """One function with its environments.

    ``outcomes`` and ``lines`` (what its processes wrote) are the latest of each, for tests and people.

    Args:
        settings: What the function is.
        arn: Without a version.
        timeline: The emulator's.
        variables: Gives the emulator's own variables for a new environment.
        told: Called when a run begins and when it ends.
    """

    def __init__(
        self,
        settings: FunctionSettings,
        arn: str,
        timeline: Timeline,
        variables: Callable[[], dict[str, str]],
        told: Callable[[], None],
    ) -> None:
        self.settings = settings
        self.arn = arn
        self.outcomes: deque[Outcome] = deque(maxlen=KEPT_OUTCOMES)
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self.on_line: Callable[[str], None] | None = None
        self.invocations = 0
        self.starts = 0
        """Cold starts."""
        self.running = 0
        self._timeline = timeline
        self._variables = variables
        self._told = told
        self._idle: list[Environment] = []
        self._environments: set[Environment] = set()
        self._freed: set[asyncio.Event] = set()

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def environments(self) -> list[Environment]:
        return [environment for environment in self._environments if environment.alive]

    async def invoke(self, payload: bytes, trace: str | None = None) -> Outcome:
        """Run the function once, in the environment that was used last, or in a new one.

        Args:
            payload: The event as JSON bytes, at most ``MAX_PAYLOAD``.
            trace: The trace header, if the caller has one.

        Returns:
            How it ended; a failure of the function is an outcome with ``error``.

        Raises:
            AwsError: if its concurrency is used up, or the payload is too large.
        """
        if len(payload) > MAX_PAYLOAD:
            message = f"Request must be smaller than {MAX_PAYLOAD} bytes for the InvokeFunction operation"
            raise AwsError("RequestTooLargeException", message, 413)
        most = self.settings.concurrency
        if most is not None and self.running >= most:
            reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
            raise AwsError("TooManyRequestsException", "Rate Exceeded.", 429, Reason=reason)
        # Counted before anything is awaited: two invocations must not take the last place.
        self.running += 1
        self.invocations += 1
        environment = self._environment()
        self._told()
        try:
            invocation = Invocation(payload) if trace is None else Invocation(payload, trace=trace)
            outcome = await environment.run(invocation)
            if len(outcome.payload) > MAX_PAYLOAD:
                message = (
                    f"Response payload size exceeded maximum allowed payload size ({MAX_PAYLOAD} bytes)."
                )
                outcome = failed("Function.ResponseSizeTooLarge", message)
            self.outcomes.append(outcome)
            return outcome
        finally:
            self.running -= 1
            # A process that ended is not used again: the next invocation is a cold start.
            if environment.alive:
                self._idle.append(environment)
            else:
                self._environments.discard(environment)
            for freed in list(self._freed):
                freed.set()
            self._told()

    async def free(self) -> None:
        """Wait until an invocation would not be throttled."""
        freed = asyncio.Event()
        self._freed.add(freed)
        try:
            while self.settings.concurrency is not None and self.running >= self.settings.concurrency:
                freed.clear()
                await freed.wait()
        finally:
            self._freed.discard(freed)

    def kill(self) -> int:
        """Kill every environment, as the platform may at any moment; for tests of crashes.

        Returns:
            How many there were.
        """
        killed = self.environments
        for environment in killed:
            environment.kill()
        self._idle.clear()
        return len(killed)

    async def close(self) -> None:
        await asyncio.gather(*(environment.close() for environment in self._environments))
        self._environments.clear()

    def _environment(self) -> Environment:
        """The one that was used last, if it is free; else a new one."""
        while self._idle:
            environment = self._idle.pop()
            if environment.alive:
                return environment
            self._environments.discard(environment)
        self.starts += 1
        made: Environment
        if isinstance(self.settings.handler, str):
            made = Process(self.settings, self.arn, self._variables(), self._heard)
        else:
            made = InProcess(self.settings, self.arn, self._timeline)
        self._environments.add(made)
        return made

    def _heard(self, line: str) -> None:
        self.lines.append(line)
        if self.on_line is not None:
            self.on_line(line)
