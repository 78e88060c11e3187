"""What may go wrong at each method of each contract, and when it does: planned by the script, counted for the report."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from infinity.abc import Accepted, Delivery, Verdict
from infinity.errors import Conflict, LimitReached, StoreError

__all__ = ["CONTRACTS", "KINDS", "Fault", "Faults", "kinds_at"]

TOO_LARGE = "the commit is too large for a transaction"
FULL, UNREADABLE = "the disk is full", "the disk cannot be read"

INJECTED = (
    FULL,
    UNREADABLE,
    "a bug on purpose",
    "No space left on device",
    "it took too long",
    "another commit came first",
    TOO_LARGE,
)
"""Words by which a failure is known to be one of ours."""
ERRORS: dict[str, Callable[[], Exception]] = {
    "StoreError": lambda: StoreError(FULL),
    "OSError": lambda: OSError(28, "No space left on device"),
    "TimeoutError": lambda: TimeoutError("it took too long"),
    "ValueError": lambda: ValueError("a bug on purpose"),
    "KeyError": lambda: KeyError("a bug on purpose"),
    "ZeroDivisionError": lambda: ZeroDivisionError("a bug on purpose"),
    "RecursionError": lambda: RecursionError("a bug on purpose"),
    "MemoryError": lambda: MemoryError("a bug on purpose"),
    "UnicodeError": lambda: UnicodeError("a bug on purpose"),
}
_LATE_ANSWER = "late answer"
_CRASHES = ("crash before", "crash after")
_LATE = 45.0
"""Seconds until a late answer. What was asked for happens at once, and a caller that is cancelled meanwhile takes nothing back."""

_READS = (
    "load",
    "next_timer",
    "outbox",
    "inbox",
    "thread",
    "threads",
    "open_children",
    "entries",
    "feed",
    "calls",
    "find_call",
    "prompts",
    "timers",
    "views",
    "meta",
    "spent",
)
_WRITES = (
    "accept",
    "commit",
    "record_attempt",
    "fire_timers",
    "outbox_done",
    "outbox_retry",
    "put_view",
    "put_meta",
)

_BUGS = ("ValueError", "TimeoutError", "OSError", *_CRASHES)

CONTRACTS: dict[str, tuple[str, ...]] = {
    **{f"store.{method}": (*ERRORS, _LATE_ANSWER, *_CRASHES) for method in (*_READS, *_WRITES)},
    "store.commit": (*ERRORS, "Conflict", "LimitReached", _LATE_ANSWER, *_CRASHES),
    "transport.post": ("refused", "failed", "answer lost", "twice", _LATE_ANSWER, *_BUGS),
    "transport.notify": (*_BUGS, _LATE_ANSWER),
    "toolsets.load": (*_BUGS, _LATE_ANSWER, "StoreError"),
    "clock.sleep": _CRASHES,
    "observer.live": ("ValueError", "OSError", "crash before"),
    "observer.committed": ("ValueError", "OSError", "crash before"),
    "observer.gate": ("crash before",),
    "mailbox.take": ("ValueError", *_CRASHES),
}
"""Method by method, the kinds of fault that a run may inject there. Troubles of the model are in ``model.py``: they depend on what was asked."""
OUTAGE = tuple(f"store.{method}" for method in _WRITES)
"""What fails together when the disk is full."""
KINDS = sorted({kind for kinds in CONTRACTS.values() for kind in kinds})


def kinds_at(at: str) -> tuple[str, ...]:
    return CONTRACTS[at]


@dataclass(frozen=True, slots=True)
class Fault:
    """``skip``: how many uses of the method go well first; ``times``: how many then do not."""

    at: str
    kind: str
    skip: int = 0
    times: int = 1


class Faults:
    """``met``: how often each kind came at each method."""

    def __init__(self, crash: Callable[[], None]) -> None:
        self._crash = crash
        self._planned: dict[str, list[tuple[Fault, int]]] = {}
        self.met: Counter[tuple[str, str]] = Counter()
        self.used = 0
        """How often a method of a contract was used."""
        self.late: set[tuple[str, str]] = set()
        """Thread and id of messages whose sender heard late that they were accepted: to their thread they may come after younger ones."""
        self.silent = False
        """While somebody looks from outside."""

    def plan(self, fault: Fault) -> None:
        self._planned.setdefault(fault.at, []).append((fault, fault.skip + fault.times))

    def clear(self) -> None:
        self._planned.clear()

    @property
    def planned(self) -> int:
        return sum(len(faults) for faults in self._planned.values())

    def due(self, at: str) -> str | None:
        """The kind of fault that happens at this use of a method, if one does."""
        self.used += not self.silent
        faults = self._planned.get(at)
        if not faults or self.silent:
            return None
        fault, left = faults[0]
        if left <= 1:
            faults.pop(0)
        else:
            faults[0] = fault, left - 1
        if left > fault.times:
            return None
        self.met[at, fault.kind] += 1
        return fault.kind

    async def around(self, at: str, act: Callable[[], Any]) -> Any:
        """Use an asynchronous method of a contract, or have it fail as planned."""
        kind = self.due(at)
        match kind:
            case None:
                return await act()
            case "late answer":
                answer = await act()
                if isinstance(answer, Accepted) and answer.message is not None:
                    self.late.add((answer.message.thread, answer.message.id))
                await asyncio.sleep(_LATE)
                return answer
            case "crash before":
                return await self._end()
            case "crash after":
                await act()
                return await self._end()
            case "refused":
                return Delivery(Verdict.REFUSED, "HTTP 400 from a simulated server")
            case "failed":
                return Delivery(Verdict.FAILED, "cannot reach a simulated server", False)
            case "answer lost":
                await act()
                return Delivery(Verdict.FAILED, "a simulated server closed the connection without an answer")
            case "twice":
                await act()
                return await act()
            case "LimitReached":
                raise LimitReached(TOO_LARGE)
            case "Conflict":
                raise Conflict("another commit came first")
        raise ERRORS[kind]()

    def at(self, at: str, act: Callable[[], Any]) -> Any:
        """The same for a method that is not asynchronous."""
        kind = self.due(at)
        if kind is None:
            return act()
        if kind == "crash before":
            self._crash()
            return None
        raise ERRORS[kind]()

    async def _end(self) -> None:
        self._crash()
        await asyncio.get_running_loop().create_future()  # A process that was killed does nothing any more.
