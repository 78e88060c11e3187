"""Processes of functions that are played in this one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from infinity._core import Delta
from infinity.abc import Observer
from infinity.cloud.host import Host
from infinity.cloud.relay import forward, open_relay
from infinity.cloud.start import open_patiently, turn_away

from .lives import Life

if TYPE_CHECKING:
    from .stage import Stage

Work = Callable[[Host, Mapping[str, Any], Callable[[], float]], Awaitable[dict[str, Any]]]


class Environment:
    """A function's process: its host is opened by the first invocation and kept until it dies; then another one takes its place."""

    def __init__(self, stage: Stage, name: str, work: Work) -> None:
        """``name``: of the function, whose permissions it has. The agent's batch is turned away if its process cannot start."""
        self.stage = stage
        self._work = work
        self.name = name
        self._life: Life | None = None
        self._host: Any = None

    async def __call__(self, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        if self._life is None or self._life.over:
            self._life, self._host = Life(), None
            self.stage.lives.append(self._life)
        life = self._life
        work = life.run(self._run(life, event, lambda: context.get_remaining_time_in_millis() / 1000))
        ended = asyncio.create_task(life.ended.wait())
        try:
            await asyncio.wait([work, ended], return_when=asyncio.FIRST_COMPLETED)
            if life.over:
                self._dead(life)
                raise RuntimeError("Runtime exited with error: signal: killed")
            return work.result()
        except asyncio.CancelledError:
            # The time limit, or the emulator's own kill.
            life.end()
            self._dead(life)
            raise
        finally:
            ended.cancel()

    def _dead(self, life: Life) -> None:
        self.stage.deaths.append(-9)
        self.stage.lives.remove(life)
        self.stage.bury(life)

    async def _run(
        self, life: Life, event: Mapping[str, Any], remaining: Callable[[], float]
    ) -> dict[str, Any]:
        if self._host is None:
            try:
                self._host = await open_patiently(lambda: self._open(life), asyncio.sleep)
            except Exception as error:
                if self.name != "agent":
                    raise
                environment, now = self.stage.environment(self.name), self.stage.clock.now
                return await turn_away(environment, event, error, now, breaker=life.breaker)
        return await self._work(self._host, event, remaining)

    async def _open(self, life: Life) -> Any:
        return await self.stage.host(life, self.name)


class Relay(Environment):
    def __init__(self, stage: Stage) -> None:
        async def work(queue: Any, event: Mapping[str, Any], _: object) -> dict[str, Any]:
            return await forward(queue, event)

        super().__init__(stage, "relay", work)

    async def _open(self, life: Life) -> Any:
        queue = open_relay(self.stage.environment("relay"))
        life.closing.append(queue._aws.close)
        return queue


class Gates:
    def __init__(self, behind: Observer, stage: Stage) -> None:
        self._behind = behind
        self._stage = stage

    def live(self, thread: str, kind: str, data: dict[str, Any]) -> None:
        self._behind.live(thread, kind, data)

    def committed(self, change: Delta) -> None:
        self._behind.committed(change)

    def gate(self, step: str) -> None:
        self._behind.gate(step)
        self._stage.passing(step)
