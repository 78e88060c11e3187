"""Calls in progress: once per invocation, each in a task of its own, each ending in a result (SRV-2,
SRV-6).

``Application`` begins and cancels them. The order is always the same: what is to be said is put on
record, then delivered; whatever a function raises becomes a result that the model can read. A function
that was running when the process ended is not run again unless it says that this does no harm.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from infinity.backoff import Backoff
from infinity.errors import StoreError
from infinity.functions.failure import ToolError, error_text
from infinity.functions.rendering import text_of
from infinity.functions.running import Runner
from infinity.functions.running import Work as Function
from infinity.functions.turn import Slots, Turn
from infinity.supervision import spawn

from .call import Call, Event, Invocation, Key, Subscription
from .delivery import Deliveries
from .fitting import CAUTIOUS_BYTES, fitting
from .limits import Limits
from .questions import Questions
from .result import encode, result_fields
from .store import NewEvent, PendingCallback, ServerStore
from .toolset import Operation, Toolset

log = logging.getLogger("infinity.rap.server")

T = TypeVar("T")

INTERRUPTED = (
    "Error: the tool server was restarted while {operation} was running; it may or may not have taken effect. "
    "Check before trying again."
)
SUBSCRIBED = "Subscribed."
ENDED = "The subscription has ended."
REFUSED = (
    "Error: the runtime refused the tool's result of {size} bytes with HTTP {status}; ask for less at once."
)
GRACE_SECONDS = 2.0
"""For functions to clean up when the server stops."""
RECORDING = Backoff(first=0.5, longest=60.0)
"""Between tries to record a result while the state cannot be written."""
_UNREADABLE = frozenset({400, 413, 422})
_LARGE = 413
_GONE = frozenset({401, 403, 404, 409, 410})


class Work:
    """The functions in progress, the subscriptions, and what they have to say.

    It is the ``CallBackend`` of the kit's calls and the ``Registry`` of its toolset.
    """

    def __init__(self, toolset: Toolset, store: ServerStore, backoff: Backoff, limits: Limits) -> None:
        """Take the parts; ``start`` begins.

        Args:
            toolset: the tools.
            store: open before ``start`` is called.
            backoff: between tries to deliver a callback.
            limits: how much is taken on at once.
        """
        self._toolset = toolset
        self._store = store
        self._limits = limits
        self._deliveries = Deliveries(store, backoff, self._refused)
        self._runner = Runner()
        self._slots = Slots(limits.concurrent, limits.long_running)
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._turns: dict[Key, Turn] = {}
        self._early: dict[Key, list[NewEvent]] = {}
        """Events of subscriptions that are not confirmed yet; the confirmation goes first (SRV-4)."""
        self._generating: set[Key] = set()
        self._questions = Questions(store)

    async def start(self) -> None:
        """Go on where the last process ended: unsent callbacks, subscriptions, interrupted calls (SRV-4)."""
        self._deliveries.start()
        # What was said before the restart goes first, in its order.
        for callback in await self._store.callbacks():
            self._deliveries.add(callback)
        for invocation in await self._store.open_invocations("active"):
            operation = self._toolset.operations.get(invocation.operation)
            # Subscriptions of webhooks need no task; they are found on record.
            if operation is not None and operation.generates:
                self._spawn(invocation, self._generate(operation, invocation, resumed=True))
        for invocation in await self._store.open_invocations("accepted"):
            operation = self._toolset.operations.get(invocation.operation)
            # One whose tool is gone is begun as well: it ends with an error that says so.
            if operation is None or operation.repeatable or operation.generates:
                self.begin(invocation)
            else:
                text = INTERRUPTED.format(operation=invocation.operation)
                await self._answer(invocation, {"text": text})

    async def stop(self) -> None:
        """Cancel the functions and let what is being sent arrive. Interrupted calls are on record for the
        next start.
        """
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._runner.stop(GRACE_SECONDS)
        await self._deliveries.stop()

    @property
    def full(self) -> bool:
        """Whether no more calls are taken; the runtime comes back later (INV-5).

        Generators of subscriptions do not count.
        """
        calls = len(self._tasks) - len(self._generating)
        return calls >= self._limits.concurrent + self._limits.waiting

    def begin(self, invocation: Invocation) -> None:
        """Start the function of an invocation that is on record.

        Args:
            invocation: new on record (``ServerStore.accept``), or left by the last run.
        """
        self._spawn(invocation, self._run(invocation))

    async def cancel(self, key: Key) -> None:
        """Stop a call or subscription; nothing more is said for it (SRV-4, SRV-5).

        Args:
            key: of the call, also of an unknown one.
        """
        # On record first: a crash in between must not bring the call back.
        await self._store.cancel(key)
        self._stop(key)

    async def cancel_thread(self, thread: str) -> None:
        """The same for everything of a thread.

        Args:
            thread: its id, also an unknown one.
        """
        for key in await self._store.cancel_thread(thread):
            self._stop(key)

    async def choose(self, question: str, call_id: Any, selected: Any) -> bool:
        """An answer to ``ask``, durable when this returns.

        Args:
            question: its secret name.
            call_id: as the answer has it; any JSON.
            selected: as the answer has it; any JSON.

        Returns:
            False if nobody asked that.
        """
        return await self._questions.answered(question, call_id, selected)

    # Registry

    async def active(self, operation: str) -> Sequence[Subscription]:
        return [
            Subscription(invocation, self)
            for invocation in await self._store.open_invocations("active", operation)
        ]

    # CallBackend

    async def say(self, invocation: Invocation, message: dict[str, Any]) -> None:
        body = self._fitting({"group_id": invocation.group_id, "call_id": invocation.call_id, **message})
        callback = await self._store.say(invocation, body)
        if callback is not None:
            self._deliveries.add(callback)

    async def ask(self, invocation: Invocation, message: dict[str, Any]) -> int:
        turn = self._turns.get(invocation.key)
        self._fitting(message)
        asked = await self._questions.ask(invocation, message, f"{invocation.origin}/choice")
        if asked is None:
            raise ToolError("nobody is asked: the call is over")
        if asked.callback is not None:
            self._deliveries.add(asked.callback)
        if turn is None:
            return await self._questions.answer_to(asked, invocation.key)
        # While people think, others may run (B12).
        async with turn.paused():
            return await self._questions.answer_to(asked, invocation.key)

    async def emit(self, invocation: Invocation, event: Event) -> bool:
        def body(event_id: str, number: int) -> bytes:
            return self._fitting(
                {
                    "type": "subscription_event",
                    "group_id": invocation.group_id,
                    "tool_call_id": invocation.id,
                    "text": event.text,
                    "associative": event.associative,
                    "final": event.final,
                    "event_id": event_id,
                    "seq": number,
                }
            )

        body(event.id or "event", 0)  # what is wrong with it is told to the function, not to the store
        new = NewEvent(event.id, event.final, body)
        # The subscription is not confirmed: a runtime would refuse an event that comes before that (SUB-1).
        early = self._early.get(invocation.key)
        if early is not None:
            over = bool(early) and early[-1].final
            if not over:
                early.append(new)
            return not over
        open_, callback = await self._store.emit(invocation, new)
        if callback is not None:
            self._deliveries.add(callback)
        return open_

    # running

    async def _run(self, invocation: Invocation) -> None:
        operation = self._toolset.operations.get(invocation.operation)
        try:
            if invocation.problem is not None:
                raise ToolError(f"bad invocation: {invocation.problem}")
            if operation is None:
                raise ToolError(
                    f"there is no tool {invocation.operation!r} here; there are: {', '.join(self._toolset.operations)}"
                )
            # Before a place is taken: wrong arguments need none.
            arguments = operation.signature.check(invocation.arguments)
            if operation.generates:
                if await self._answer(invocation, {"text": SUBSCRIBED}, active=True):
                    await self._generate(operation, invocation)
                return
            fields = await self._call(operation, invocation, arguments)
            await self._answer(invocation, fields, active=operation.subscribes)
        except asyncio.CancelledError:
            raise
        except StoreError:
            # Still on record as accepted: the next start deals with it.
            log.exception("call %s could not be recorded", invocation.id)
        except Exception as error:  # whatever a tool raises is an answer (SRV-2)
            if not isinstance(error, ToolError):
                log.warning("call %s of %s failed", invocation.id, invocation.operation, exc_info=error)
            self._early.pop(invocation.key, None)
            await self._answer(invocation, {"text": error_text(invocation.operation, error)})
        finally:
            self._early.pop(invocation.key, None)

    async def _call(self, operation: Operation, invocation: Invocation, arguments: dict[str, Any]) -> Any:
        turn = Turn(self._slots, self._limits.seconds, slow=bool(operation.annotations.get("longRunning")))
        if operation.subscribes:
            self._early[invocation.key] = []
        self._turns[invocation.key] = turn
        self._questions.begin(invocation.key)
        arguments = self._with_context(operation, invocation, arguments, turn=turn)
        seconds = operation.seconds(self._limits.seconds)
        try:
            function = partial(operation.function, **arguments)
            return await self._runner.run(Function(operation.name, function, result_fields, turn, seconds))
        finally:
            del self._turns[invocation.key]
            self._questions.end(invocation.key)

    async def _generate(self, operation: Operation, invocation: Invocation, *, resumed: bool = False) -> None:
        self._generating.add(invocation.key)
        try:
            arguments = operation.signature.check(invocation.arguments)
            arguments = self._with_context(operation, invocation, arguments, resumed=resumed)
            async for item in operation.function(**arguments):
                event = item if isinstance(item, Event) else Event(text_of(item))
                if not await self.emit(invocation, event) or event.final:
                    return
            await self.emit(invocation, Event(ENDED, final=True))
        except StoreError:
            log.exception("an event of %s could not be recorded", invocation.id)
        except (Exception, asyncio.CancelledError, SystemExit) as error:  # one that breaks says so (SRV-2)
            if _cancelled():
                raise
            log.warning("subscription %s broke", invocation.id, exc_info=error)
            await self.emit(invocation, Event(error_text(invocation.operation, error), final=True))
        finally:
            self._generating.discard(invocation.key)

    def _with_context(
        self,
        operation: Operation,
        invocation: Invocation,
        arguments: dict[str, Any],
        *,
        turn: Turn | None = None,
        resumed: bool = False,
    ) -> dict[str, Any]:
        if operation.signature.context is None:
            return arguments
        cancelled = turn.cancelled if turn is not None else None
        call = (
            Subscription(invocation, self, cancelled, resumed=resumed)
            if operation.subscribes
            else Call(invocation, self, cancelled)
        )
        return {**arguments, operation.signature.context: call}

    # answering

    async def _answer(self, invocation: Invocation, fields: dict[str, Any], *, active: bool = False) -> bool:
        message = {"type": "tool_result", "group_id": invocation.group_id, "id": invocation.id}
        if active:
            fields = {**_confirming(fields, invocation.id), "subscription": True}
        body = self._fitting({**message, "call_id": invocation.call_id, **fields})
        # Recorded with the confirmation, in one transaction and behind it.
        events = self._early.pop(invocation.key, []) if active else []
        callbacks = await self._recorded(
            partial(self._store.finish, invocation, body, active=active, events=events)
        )
        for callback in callbacks:
            self._deliveries.add(callback)
        return bool(callbacks)

    async def _recorded(self, write: Callable[[], Awaitable[T]]) -> T:
        """What a function did is not done again because its result cannot be written down at once (R10)."""
        failures = 0
        while True:
            try:
                return await write()
            except StoreError as error:
                wait = RECORDING.wait(failures)
                log.error("a result could not be recorded, next try in %.1f s: %s", wait, error)
            failures += 1
            await asyncio.sleep(wait)

    def _fitting(self, message: dict[str, Any]) -> bytes:
        """A callback's body, shortened to what is sent. ``ToolError`` if it cannot be sent."""
        return fitting(message, self._limits.result_bytes)

    async def _refused(self, callback: PendingCallback, status: int) -> None:
        """A result that the runtime would not read (too large, say) must not leave the call unanswered
        (SRV-2).
        """
        message = json.loads(callback.body)
        # The runtime knows nothing of the subscription any more, so that further events are in vain.
        if message["type"] == "subscription_event" and status in _GONE:
            await self.cancel(callback.key)
        if message["type"] == "user_choice":
            await self._questions.refused(message["event_id"], status)
        if message["type"] != "tool_result" or status not in _UNREADABLE:
            return
        text = REFUSED.format(status=status, size=len(callback.body))
        if len(callback.body) < len(text) + 1_000:
            return  # as small as its replacement: that would be refused too
        if status == _LARGE and len(callback.body) > CAUTIOUS_BYTES:
            body = fitting(message, CAUTIOUS_BYTES)
        else:
            kept = {name: message[name] for name in ("type", "group_id", "id", "call_id") if name in message}
            body = encode({**kept, "text": text})
        corrected = await self._store.correct(callback.key, callback.url, body)
        if corrected is not None:
            self._deliveries.add(corrected)

    def _spawn(self, invocation: Invocation, work: Coroutine[Any, Any, None]) -> None:
        task = spawn(work, f"call {invocation.id}")
        self._tasks[invocation.key] = task
        task.add_done_callback(lambda done: self._ended(invocation.key, done))

    def _ended(self, key: Key, task: asyncio.Task[None]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]

    def _stop(self, key: Key) -> None:
        self._deliveries.drop(key)
        task = self._tasks.get(key)
        if task is not None and task is not asyncio.current_task():
            task.cancel()


def _cancelled() -> bool:
    """Whether it was us who cancelled; what a function waits for may be cancelled by others."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _confirming(fields: dict[str, Any], call_id: str) -> dict[str, Any]:
    """A confirmation names its subscription: by that id the model cancels it, and not every runtime says
    it.
    """
    said = json.dumps([fields.get("text"), fields.get("content")])
    if call_id in said:
        return fields
    words = f"The subscription's tool_call_id is {call_id}."
    changed = dict(fields)
    if fields.get("content"):
        changed["content"] = [*fields["content"], {"type": "text", "text": words}]
    if fields.get("text") is not None or not fields.get("content"):
        changed["text"] = f"{fields.get('text') or ''}\n\n{words}".strip()
    return changed
