"""What people and programs send to a thread: messages, answers to prompts, and controls.

Each handler checks the request, gives it to the runtime, and answers once the message is durable (I2). None waits for a slice, and none may look into the
store to decide whether a message is accepted: the store decides that in the transaction that appends it.
"""

from __future__ import annotations

from infinity.abc import Accepted, Status, Store
from infinity.engine.missing import missing
from infinity.errors import AlreadyAnswered, BadRequest
from infinity.message import KEEP_CALLS, Action

from .backend import Backend
from .errors import Refused, taken
from .requests import (
    Closing,
    Interruption,
    NewMessage,
    NewModel,
    NewTitle,
    Nothing,
    Request,
    Resuming,
    Selection,
)
from .responses import Response, Resumed, respond
from .threads import check_model

__all__ = [
    "answer_prompt",
    "cancel_call",
    "close_thread",
    "compact_thread",
    "interrupt_thread",
    "resume_all",
    "resume_thread",
    "send_message",
    "set_model",
    "set_title",
    "stop_thread",
]


async def send_message(backend: Backend, request: Request) -> Response:
    """200 once it is durable. With an ``Idempotency-Key`` sending it again is harmless: ``duplicate``."""
    thread, key = request.id(), request.key()
    message = await request.json(NewMessage)
    if not message.content or (isinstance(message.content, str) and not message.content.strip()):
        raise BadRequest("'content' is empty")
    user = request.acting(message.user_id)
    return taken(await backend.runtime.send(thread, message.content, key=key, user_id=user))


async def interrupt_thread(backend: Backend, request: Request) -> Response:
    interruption = await request.json(Interruption, optional=True)
    return await _control(backend, request, Action.INTERRUPT, None if interruption.calls else KEEP_CALLS)


async def stop_thread(backend: Backend, request: Request) -> Response:
    await request.json(Nothing, optional=True)
    return await _control(backend, request, Action.STOP)


async def resume_thread(backend: Backend, request: Request) -> Response:
    await request.json(Nothing, optional=True)
    return await _control(backend, request, Action.RESUME)


async def compact_thread(backend: Backend, request: Request) -> Response:
    await request.json(Nothing, optional=True)
    return await _control(backend, request, Action.COMPACT)


async def close_thread(backend: Backend, request: Request) -> Response:
    closing = await request.json(Closing, optional=True)
    return await _control(backend, request, Action.CLOSE, closing.report)


async def set_model(backend: Backend, request: Request) -> Response:
    chosen = await request.json(NewModel)
    request.id()
    check_model(backend.runtime.models, chosen.model)
    return await _control(backend, request, Action.MODEL, chosen.model)


async def set_title(backend: Backend, request: Request) -> Response:
    chosen = await request.json(NewTitle)
    return await _control(backend, request, Action.TITLE, chosen.title)


async def cancel_call(backend: Backend, request: Request) -> Response:
    """404 where the thread has no such call, 409 where it has ended. The model is told that the user has cancelled it, its server that it need not go on (CAN-1)."""
    await request.json(Nothing, optional=True)
    thread, call_id = request.id(), request.id("call_id")
    found = await backend.store.find_call(call_id)
    if found is None or found[0].thread != thread or found[0].subscription:
        if await backend.store.thread(thread) is None:
            raise await missing(backend.store, thread)
        raise Refused(404, "not_found", f"thread {thread} has no call {call_id}")
    _, state = found
    if state == "cancelled":
        return taken(Accepted(Status.DUPLICATE))
    if state not in ("planned", "sent"):
        raise Refused(409, "not_pending", f"call {call_id} of {thread} has ended: {state}")
    key = request.key() or f"cancel.{call_id}"[:128]
    return taken(await backend.runtime.control(thread, Action.CANCEL, call_id, key=key))


async def resume_all(backend: Backend, request: Request) -> Response:
    resuming = await request.json(Resuming, optional=True)
    return respond(Resumed(await backend.runtime.resume_all(resuming.problem)))


async def answer_prompt(backend: Backend, request: Request) -> Response:
    """409 where the question is over, with what was chosen; 400 where there never was one, 404 where there is no such thread."""
    thread, choice = request.id(), request.id("choice_id")
    selection = await request.json(Selection)
    user = request.acting(selection.user_id)
    try:
        outcome = await backend.runtime.choose(
            thread,
            choice,
            selection.selected,
            user_id=user,
            reason=selection.reason,
            arguments=selection.arguments,
        )
    except AlreadyAnswered as error:
        raise Refused(409, error.code, str(error)) from None
    except BadRequest:
        if await backend.store.thread(thread) is None:
            raise await missing(backend.store, thread) from None
        if not await _is_over(backend.store, thread, choice):
            raise
        raise Refused(409, "not_pending", f"{choice} of {thread} is no longer pending") from None
    return taken(outcome)


async def _control(
    backend: Backend, request: Request, action: Action, argument: str | None = None
) -> Response:
    return taken(await backend.runtime.control(request.id(), action, argument, key=request.key()))


async def _is_over(store: Store, thread: str, choice: str) -> bool:
    """Whether it names a question about a call of this thread, or of a child of this root, (``choice.<call id>``) that waits for nobody: answered, or its call has ended."""
    found = await store.find_call(choice.partition(".")[2])
    if found is None:
        return False
    asked = found[0].thread
    if asked != thread:
        row = await store.thread(asked)
        if row is None or row.root != thread:
            return False
    return all(prompt.id != choice for prompt in await store.prompts(asked))
