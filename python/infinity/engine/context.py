"""What a built-in tool may touch of the slice that runs it (``abc.BuiltinContext``): its thread, and nothing outside of it (I6)."""

from __future__ import annotations

from dataclasses import dataclass

from infinity._core import Call, Thread
from infinity.engine import calls, children
from infinity.engine.slice.state import Slice
from infinity.ids import Ids
from infinity.settings import Limits

__all__ = ["SliceContext"]


@dataclass(frozen=True, slots=True)
class SliceContext:
    current: Slice

    @property
    def thread(self) -> Thread:
        return self.current.thread

    @property
    def now(self) -> int:
        return self.current.now

    @property
    def ids(self) -> Ids:
        return self.current.ids

    @property
    def limits(self) -> Limits:
        return self.current.limits

    async def spawn(self, call: Call, instructions: str) -> str:
        return await children.spawn(self.current, call, instructions)

    async def is_open_child(self, thread: str) -> bool:
        return await children.is_open_child(self.current, thread)

    def expect_report(self, child: str) -> None:
        children.await_report(self.current.thread, child)

    def report(self, text: str, *, key: str) -> None:
        children.report(self.current, text, key=key)

    def close(self, report: str | None) -> None:
        self.current.closing = (report,)

    def notify_cancelled(self, call_id: str) -> None:
        calls.notify_cancelled(self.current, call_id)
