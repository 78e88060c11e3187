"""Waiting for a provider's official SDK: within the time-outs, its errors as ours.

The SDKs of Anthropic and OpenAI are built alike. Their own retries are off everywhere, because the
engine counts tries (R5).
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import msgspec

from infinity.errors import InvalidModelRequest, ModelError, ModelUnavailable

from .access import Access, ModelTimeouts
from .failure import told

T = TypeVar("T")


class SdkCalls:
    """How one provider's SDK is waited for."""

    def __init__(
        self, package: str, access: Access, timeouts: ModelTimeouts, translate: Callable[[Any], ModelError]
    ) -> None:
        """Import nothing yet.

        Args:
            package: the SDK's name.
            access: where the API is, for errors.
            timeouts: how long is waited.
            translate: from its ``APIError`` with an answer in it (a status error, or an error in a
                stream).
        """
        self._package = package
        self._access = access
        self._timeouts = timeouts
        self._translate = translate

    def deadline(self) -> float:
        """When an answer that begins now must be over, in the loop's time."""
        return asyncio.get_running_loop().time() + self._timeouts.total

    async def wait(self, step: Coroutine[Any, Any, T], deadline: float) -> T:
        """One wait for the SDK.

        Args:
            step: what is waited for.
            deadline: in the loop's time.

        Raises:
            ModelError: whatever the SDK raises, translated and without secrets.
        """
        import httpx2

        # Imported already, by anyone who made the client.
        sdk = importlib.import_module(self._package)
        try:
            async with asyncio.timeout_at(deadline):
                return await step
        except sdk.APIStatusError as error:
            raise self._redacted(self._translate(error)) from None
        except (sdk.APITimeoutError, httpx2.TimeoutException) as error:
            raise self.unavailable(f"no answer within {self._timeouts.stall:g} s") from error
        except TimeoutError as error:
            # Ours, of the whole answer; the SDK's own are above.
            raise self.unavailable(f"the answer was not complete after {self._timeouts.total:g} s") from error
        except sdk.APIError as error:
            if error.body:
                raise self._redacted(self._translate(error)) from None
            raise self._unreached(error) from error
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise self._unreached(error) from error
        except (ValueError, msgspec.MsgspecError) as error:
            raise self.unavailable(f"the answer cannot be read: {error}") from error

    def check(self, response: Any, kind: str) -> None:
        """Whether an answer is the stream that it should be.

        Args:
            response: of the SDK.
            kind: the content type.

        Raises:
            InvalidModelRequest: it is not.
        """
        given = response.headers.get("content-type", "")
        if not given.startswith(kind):
            raise InvalidModelRequest(
                f"{self._access.host} answered {given or 'nothing'} instead of a stream; "
                f"check that the base URL is that of {self._access.provider}'s API or of one like it",
                status=response.status_code,
            )

    def _unreached(self, error: Exception) -> ModelUnavailable:
        return self.unavailable(
            f"no connection, or it broke off: {told(error)}; check that the server runs and that base_url ({self._access.base_url}) is right"
        )

    def unavailable(self, what: str) -> ModelUnavailable:
        """An error that names the host and no secret.

        Args:
            what: went wrong.
        """
        return ModelUnavailable(f"{self._access.host}: {self._access.redact(what)}")

    def _redacted(self, error: ModelError) -> ModelError:
        text = self._access.redact(str(error))
        return type(error)(text, status=error.status, retry_after=error.retry_after)
