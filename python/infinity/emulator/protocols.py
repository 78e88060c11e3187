"""How services of AWS are spoken to: which operation a request names, and how results and refusals are
written.

A service is a set of operations; a protocol turns requests into calls of them. Refusals before a service
is asked (a missing or wrong signature) are written in its protocol too, under the names that it uses for
them.
"""

from __future__ import annotations

import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from xml.sax.saxutils import escape

from .failure import AwsError
from .signature import Refusal, SignatureRefused
from .wire import Reply, Request

__all__ = ["JsonService", "RestJsonService", "Service", "error_document"]

Operation = Callable[[dict[str, Any]], dict[str, Any] | Awaitable[dict[str, Any] | None] | None]


class Service(Protocol):
    """``name`` is the one in a signature's scope."""

    @property
    def name(self) -> str: ...

    def operation(self, request: Request) -> str:
        """Which operation this is; ``AwsError`` if there is none."""
        ...

    async def call(self, operation: str, request: Request) -> Reply: ...

    def failed(self, error: AwsError) -> Reply: ...

    def refused(self, refused: SignatureRefused) -> Reply: ...

    def throttled(self) -> AwsError:
        """What it answers when it is called too often."""
        ...


class JsonService(ABC):
    """The JSON protocols 1.0 and 1.1: one path, the operation in ``X-Amz-Target``."""

    name: str
    target: str
    """What stands before the dot in ``X-Amz-Target``."""
    version = "1.0"
    namespace: str
    """Before the ``#`` of an error's ``__type``."""
    refused_status = 400

    def __init__(self) -> None:
        self.operations: dict[str, Operation] = self.offered()

    @abstractmethod
    def offered(self) -> dict[str, Operation]: ...

    def operation(self, request: Request) -> str:
        """The operation that ``X-Amz-Target`` names.

        Raises:
            AwsError: if the emulator does not have it.
        """
        prefix, _, name = request.headers.get("x-amz-target", "").partition(".")
        if prefix != self.target or name not in self.operations:
            raise AwsError(
                "UnknownOperationException", f"The operation {name!r} is not part of this emulator."
            )
        return name

    async def call(self, operation: str, request: Request) -> Reply:
        """Make an operation, and write its result.

        Raises:
            AwsError: if the body is not a JSON object, or the operation refuses.
        """
        try:
            arguments = json.loads(request.body or b"{}")
        except ValueError:
            arguments = None
        # Before the operation is called, so that every operation may rely on an object.
        if not isinstance(arguments, dict):
            raise AwsError("SerializationException", "The request's body is not a JSON object.")
        result = self.operations[operation](arguments)
        if inspect.isawaitable(result):
            result = await result
        return self._reply(200, result or {})

    def failed(self, error: AwsError) -> Reply:
        space = "" if "#" in error.code else f"{self.namespace_of(error.code)}#"
        document = {"__type": f"{space}{error.code}", "message": error.message, **error.fields}
        return self._reply(error.status, document)

    def namespace_of(self, code: str) -> str:
        """What stands before the ``#`` of an error's ``__type``; SDKs tell errors apart by what is behind it."""
        if code == "ValidationException":
            return "com.amazon.coral.validate"
        if code in ("UnknownOperationException", "SerializationException"):
            return "com.amazon.coral.service"
        return self.namespace

    def refused(self, refused: SignatureRefused) -> Reply:
        code = f"com.amazon.coral.service#{refused.refusal}Exception"
        return self.failed(AwsError(code, refused.message, self.refused_status))

    def throttled(self) -> AwsError:
        return AwsError("ThrottlingException", "Rate exceeded")

    def _reply(self, status: int, document: dict[str, Any]) -> Reply:
        # `default`: a store may keep sets and the like, which are a mistake to answer with; fail loudly.
        return Reply(
            status, json.dumps(document).encode(), {"content-type": f"application/x-amz-json-{self.version}"}
        )


class RestJsonService(ABC):
    """Paths and methods name the operation; refusals carry their name in ``x-amzn-ErrorType``."""

    name: str

    @abstractmethod
    def operation(self, request: Request) -> str: ...

    @abstractmethod
    async def call(self, operation: str, request: Request) -> Reply: ...

    def failed(self, error: AwsError) -> Reply:
        document = {"Message": error.message, "message": error.message, **error.fields}
        headers = {"content-type": "application/json", "x-amzn-errortype": error.code}
        return Reply(error.status, json.dumps(document).encode(), headers)

    def refused(self, refused: SignatureRefused) -> Reply:
        missing = refused.refusal is Refusal.MISSING
        message = "Missing Authentication Token" if missing else refused.message
        return self.failed(AwsError(f"{refused.refusal}Exception", message, 403))

    def throttled(self) -> AwsError:
        return AwsError("ThrottlingException", "Rate exceeded", 429)

    def document(self, request: Request) -> dict[str, Any]:
        """The request's body as a JSON object; ``AwsError`` otherwise."""
        try:
            arguments = json.loads(request.body or b"{}")
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            raise AwsError("SerializationException", "The request's body is not a JSON object.")
        return arguments

    def answer(self, document: dict[str, Any], status: int = 200) -> Reply:
        """Write a JSON object as the answer."""
        return Reply(status, json.dumps(document).encode(), {"content-type": "application/json"})


def error_document(error: AwsError, request_id: str, wrapped: bool) -> bytes:
    """Write an error as XML.

    Args:
        error: The refusal.
        request_id: Any; a caller may report it.
        wrapped: As the query protocol has it, or bare, as S3.
    """
    # Escaped: a key or a name in a refusal may hold anything that a client sent.
    inner = f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
    inner += "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in error.fields.items())
    if wrapped:
        body = f"<ErrorResponse><Error><Type>Sender</Type>{inner}</Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    else:
        body = f"<Error>{inner}<RequestId>{request_id}</RequestId></Error>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'.encode()
