"""What a tool's function is given and what it may give back."""

from __future__ import annotations

import base64
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Image:
    """An image in a result. ``media_type``: such as ``image/png``."""

    data: bytes
    media_type: str

    def item(self) -> dict[str, str]:
        """As the protocol carries it."""
        return {
            "type": "image",
            "data": base64.b64encode(self.data).decode(),
            "mediaType": self.media_type,
        }


@dataclass(frozen=True, slots=True)
class Result:
    """A result in full.

    ``content``: texts and images for the model, in order; ``display_as``: segments for people only
    (RES-3).
    """

    text: str | None = None
    content: Sequence[str | Image] = ()
    display_as: Sequence[dict[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a subscription.

    ``id``: its identity; an event sent again under the same id is the same event (R3).

    ``associative``: for the subscribing conversation itself, not for a child of its own (SUB-4).
    ``final``: the last one (SUB-6).
    """

    text: str
    id: str | None = None
    associative: bool = False
    final: bool = False


@dataclass(frozen=True, slots=True)
class Invocation:
    """What the runtime asked for.

    ``origin``: scheme and address under which it reached this server; ``problem``: why it cannot be
    done.
    """

    operation: str
    arguments: Mapping[str, Any]
    id: str
    group_id: str
    callback_url: str
    origin: str
    call_id: str | None = None
    ancestors: tuple[str, ...] = ()
    user_id: str | None = None
    problem: str | None = None

    @property
    def key(self) -> Key:
        return (self.group_id, self.id)


Key = tuple[str, str]
"""Thread and call: what an invocation is known by.

Runtimes mint ids without knowing of each other, so the thread belongs to it.
"""


class CallBackend(Protocol):
    """How a call speaks to its runtime; ``work.Work`` on a server with state, another one on Lambda."""

    async def say(self, invocation: Invocation, message: dict[str, Any]) -> None:
        """Send a callback, durably. Nothing is sent if the call is over.

        Args:
            invocation: the call.
            message: the callback's fields, without ``group_id`` and ``call_id``.
        """
        ...

    async def ask(self, invocation: Invocation, message: dict[str, Any]) -> int:
        """Send a ``user_choice`` and wait for the answer, as long as it takes.

        Args:
            invocation: the call.
            message: the callback's fields, without the address of the answer.

        Returns:
            The index of the choice.

        Raises:
            ToolError: nobody is asked, because the call is over or the runtime refused.
        """
        ...

    async def emit(self, invocation: Invocation, event: Event) -> bool:
        """Send an event, durably.

        Args:
            invocation: the subscription's call.
            event: what happened.

        Returns:
            False if the subscription is over.
        """
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """One call in progress: annotate a parameter with it to get it.

    ``id`` is the idempotency key; the same one never runs twice (SRV-6).
    """

    invocation: Invocation = field(repr=False)
    _backend: CallBackend = field(repr=False)
    _cancelled: threading.Event | None = field(default=None, repr=False)

    @property
    def cancelled(self) -> bool:
        """For functions in threads: nobody waits for the result any more.

        A coroutine gets ``asyncio.CancelledError`` instead.
        """
        return self._cancelled is not None and self._cancelled.is_set()

    @property
    def id(self) -> str:
        """The call's id at the runtime: the same one again is the same call (SRV-6)."""
        return self.invocation.id

    @property
    def thread(self) -> str:
        """The id of the thread whose call it is."""
        return self.invocation.group_id

    @property
    def ancestors(self) -> tuple[str, ...]:
        """Threads from the root to the parent; empty in a root thread."""
        return self.invocation.ancestors

    @property
    def user_id(self) -> str | None:
        """Whose message caused the call."""
        return self.invocation.user_id

    async def ask(self, prompt: str, choices: Sequence[str], default: int = 0) -> str:
        """Ask the user to choose (CHO-1).

        It takes as long as it takes: a function that waits for people takes up neither time nor a
        place. Question and answer survive restarts of this server: a tool that runs again and asks the
        same is given the answer that was given.

        Args:
            prompt: the question, for people.
            choices: at least one text.
            default: the index of what a dismissal means.

        Returns:
            The text of the choice.

        Raises:
            ToolError: the runtime does not take the question, or the call is over.
            ValueError: it is not a question (CHO-2).
        """
        return choices[await self.choose(prompt, choices, default)]

    async def choose(self, prompt: str, choices: Sequence[str], default: int = 0) -> int:
        """As ``ask``, but the index of the choice.

        Args:
            prompt: the question, for people.
            choices: at least one text.
            default: the index of what a dismissal means.
        """
        if not prompt or not choices or not all(isinstance(choice, str) and choice for choice in choices):
            raise ValueError("a question needs a prompt and choices, each of them a text (CHO-2)")
        # Checked here, where the author's mistake is in the traceback; the runtime would only refuse it.
        if not 0 <= default < len(choices):
            raise ValueError(f"the default must be an index of the choices, 0 to {len(choices) - 1} (CHO-2)")
        return await self._backend.ask(
            self.invocation,
            {
                "type": "user_choice",
                "id": self.id,
                "prompt": prompt,
                "choices": list(choices),
                "default": default,
            },
        )

    async def authorize(self, auth_url: str) -> None:
        """Show the user a page to grant access at (OAU-1). It returns at once; go on with the call when
        access is there.

        Args:
            auth_url: an https URL.

        Raises:
            ValueError: it is not https.
        """
        if urlsplit(auth_url).scheme != "https":
            raise ValueError("an authorisation page must have an https:// URL (OAU-1)")
        await self._backend.say(self.invocation, {"type": "oauth", "id": self.id, "auth_url": auth_url})

    async def view(self, view_type: str, content: Any) -> None:
        """Replace what the thread's clients show under ``view_type`` (VIEW-1).

        Args:
            view_type: which view; the latest content of each is kept.
            content: JSON of any shape; the runtime does not look into it.
        """
        message = {"type": "view_update", "view_type": view_type, "content": content}
        await self._backend.say(self.invocation, message)


@dataclass(frozen=True, slots=True)
class Subscription(Call):
    """An active subscription, or one that is being set up. It survives restarts of this server (SRV-4)."""

    resumed: bool = False
    """The server was restarted since the subscription began, and its generator runs again."""

    @property
    def arguments(self) -> Mapping[str, Any]:
        """As the model gave them: what the subscription is about."""
        return self.invocation.arguments

    async def emit(self, text: str, *, id: str | None = None, associative: bool = False) -> bool:  # noqa: A002  what users write by name
        """Send an event; see ``Event``. What is emitted before the function has returned follows its
        confirmation.

        Args:
            text: what happened, for the model.
            id: the event's identity; the same one again is not sent again (R3).
            associative: for the subscribing conversation itself (SUB-4).

        Returns:
            True once it is durable here; False, and nothing is sent, if the subscription is over
            (SRV-4).
        """
        return await self.send(Event(text, id=id, associative=associative))

    async def final(self, text: str, *, id: str | None = None, associative: bool = False) -> bool:  # noqa: A002  what users write by name
        """Send the last event, which ends the subscription (SUB-6).

        Args:
            text: what happened, for the model.
            id: the event's identity.
            associative: for the subscribing conversation itself (SUB-4).
        """
        return await self.send(Event(text, id=id, associative=associative, final=True))

    async def send(self, event: str | Event) -> bool:
        """As ``emit``, for an event that is made already.

        Args:
            event: an event, or the text of a plain one.
        """
        return await self._backend.emit(self.invocation, Event(event) if isinstance(event, str) else event)
