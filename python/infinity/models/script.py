"""What a scripted model answers: rules that read like the conversation they belong to.

::

    Script()
        .when("run the tests").say("Starting.").call("run_suite", path=".")
        .then().say("All green.")
        .when_event("watch").say("It changed.")
        .otherwise().say("I only know tests.")

A script decides from the request alone, so it goes on where it was after a restart. ``Script.sequence`` does not: it is for tests.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from .prompt_view import PromptView

Words = str | Callable[[PromptView], str]
"""A text, or a function that makes one of the prompt."""
Matcher = Callable[[PromptView], bool]
"""Whether a rule is for this prompt."""


@dataclass(frozen=True, slots=True)
class Say:
    """Visible text."""

    text: Words


@dataclass(frozen=True, slots=True)
class Think:
    """Reasoning."""

    text: str
    signature: str | None
    """``None``: made up, and the same for the same text."""


@dataclass(frozen=True, slots=True)
class Redacted:
    """Reasoning that only the provider can read."""

    data: str


@dataclass(frozen=True, slots=True)
class CallTool:
    """A tool call."""

    tool: str
    arguments: dict[str, Any] | str
    """A string is sent as it is, to be malformed."""
    id: str | None


@dataclass(frozen=True, slots=True)
class Pause:
    """The stream goes on when the event is set."""

    until: asyncio.Event


@dataclass(frozen=True, slots=True)
class Break:
    """The connection is lost here."""


@dataclass(frozen=True, slots=True)
class Fail:
    """An error: as the HTTP answer if nothing was said before, else as an event of the stream."""

    status: int
    type: str
    message: str
    retry_after: float | None

    @property
    def body(self) -> dict[str, Any]:
        """The error as the Messages API writes it."""
        return {"type": "error", "error": {"type": self.type, "message": self.message}}

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the HTTP answer."""
        return {} if self.retry_after is None else {"retry-after": f"{self.retry_after:g}"}


Step = Say | Think | Redacted | CallTool | Pause | Break | Fail

ERROR_TYPES: dict[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""The Messages API's name of an error, by HTTP status."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, as steps of its stream.

    Every method returns a new reply. Texts said in a row are one block.
    """

    steps: tuple[Step, ...] = ()
    stop_reason: str | None = None
    """``None``: what the API would say."""
    usage: dict[str, int] = field(default_factory=dict)
    """Fields of the API's ``usage`` that replace the computed ones."""

    def say(self, text: Words) -> Reply:
        """Say a text.

        Args:
            text: or a function that makes it of the prompt.
        """
        return self._with(Say(text))

    def think(self, text: str, signature: str | None = None) -> Reply:
        """Reason.

        Args:
            text: of the reasoning.
            signature: ``None``: made up; empty: none.
        """
        return self._with(Think(text, signature))

    def redacted(self, data: str) -> Reply:
        """Reason where nobody can read it.

        Args:
            data: opaque.
        """
        return self._with(Redacted(data))

    def call(self, tool: str, /, **arguments: Any) -> Reply:
        """Call a tool.

        Args:
            tool: its name.
            **arguments: of the call.
        """
        return self._with(CallTool(tool, arguments, None))

    def call_raw(self, tool: str, arguments: str | dict[str, Any], id: str | None = None) -> Reply:  # noqa: A002  what users write by name
        """A call with arguments sent as they are, valid JSON or not, or with an id of the test's choice.

        Args:
            tool: its name.
            arguments: a text is sent as it is.
            id: of the call; made up if not given.
        """
        return self._with(CallTool(tool, arguments, id))

    def pause(self, until: asyncio.Event) -> Reply:
        """Wait in the middle of the stream.

        Args:
            until: the stream goes on when it is set.
        """
        return self._with(Pause(until))

    def break_off(self) -> Reply:
        """Lose the connection here."""
        return self._with(Break())

    def fail(
        self,
        status: int,
        *,
        type: str | None = None,  # noqa: A002  what users write by name
        message: str = "scripted",
        retry_after: float | None = None,
    ) -> Reply:
        """Fail as a provider does.

        Args:
            status: the HTTP status.
            type: the API's name of the error; that of the status if not given.
            message: what the error says.
            retry_after: seconds that the answer asks to wait.
        """
        return self._with(Fail(status, type or ERROR_TYPES.get(status, "api_error"), message, retry_after))

    def stop(self, reason: str) -> Reply:
        """End with this stop reason, whatever was said.

        Args:
            reason: of the Messages API.
        """
        return replace(self, stop_reason=reason)

    def tokens(self, **usage: int) -> Reply:
        """Say that this was used.

        Args:
            **usage: fields of the API's ``usage``.
        """
        return replace(self, usage={**self.usage, **usage})

    def _with(self, step: Step) -> Reply:
        return replace(self, steps=(*self.steps, step))

    @property
    def calls(self) -> list[CallTool]:
        """The calls of the reply, in order."""
        return [step for step in self.steps if isinstance(step, CallTool)]


Answer = Callable[[PromptView], Reply]


@dataclass(slots=True)
class _Rule:
    matches: Matcher
    reply: Reply = field(default_factory=Reply)
    answer: Answer | None = None


class Script:
    """Rules, tried in order; the first that matches the last user message answers.

    Methods change the script and return it.
    """

    def __init__(self) -> None:
        self._rules: list[_Rule] = []
        self._queue: list[Reply] | None = None

    @classmethod
    def sequence(cls, *replies: Reply | str) -> Script:
        """One reply per request, whatever it says; when they are used up, requests fail.

        Args:
            *replies: in order; a text is said.
        """
        script = cls()
        script._queue = [Reply().say(reply) if isinstance(reply, str) else reply for reply in replies]
        return script

    # when

    def when(self, text: str | re.Pattern[str]) -> Script:
        """A rule for what a person (or parent thread) wrote.

        Args:
            text: is in it, in any case of letters.
        """
        return self.when_prompt(lambda prompt: _holds(prompt.text, text))

    def when_result(self, tool: str, text: str | re.Pattern[str] = "") -> Script:
        """A rule for the answer of a call.

        Args:
            tool: that was called.
            text: is in the result.
        """
        return self.when_prompt(
            lambda prompt: any(result.tool == tool and _holds(result.text, text) for result in prompt.results)
        )

    def when_event(self, tool: str, text: str | re.Pattern[str] = "") -> Script:
        """A rule for an event about an earlier call.

        Args:
            tool: that was called.
            text: is in the event.
        """
        return self.when_prompt(
            lambda prompt: any(event.tool == tool and _holds(event.text, text) for event in prompt.events)
        )

    def when_prompt(self, matches: Matcher) -> Script:
        """A rule of one's own.

        Args:
            matches: whether it is for a prompt.
        """
        self._rules.append(_Rule(matches))
        return self

    def then(self) -> Script:
        """A rule for what follows: the calls of the reply before were answered, and nobody said anything
        else.

        Raises:
            ValueError: that reply has no calls.
        """
        before = self._rule.reply
        if not before.calls:
            raise ValueError("then() goes on after a reply with a call; this one has none")
        return self.when_prompt(lambda prompt: _answers(prompt, before))

    def otherwise(self) -> Script:
        """A rule for everything else; the last one."""
        return self.when_prompt(lambda prompt: True)

    # what to answer

    def say(self, text: Words) -> Script:
        """Say a text, in the reply of the last rule.

        Args:
            text: or a function that makes it of the prompt.
        """
        return self._reply(self._rule.reply.say(text))

    def think(self, text: str, signature: str | None = None) -> Script:
        """Reason, in the reply of the last rule.

        Args:
            text: of the reasoning.
            signature: ``None``: made up; empty: none.
        """
        return self._reply(self._rule.reply.think(text, signature))

    def call(self, tool: str, /, **arguments: Any) -> Script:
        """Call a tool, in the reply of the last rule.

        Args:
            tool: its name.
            **arguments: of the call.
        """
        return self._reply(self._rule.reply.call(tool, **arguments))

    def fail(
        self,
        status: int,
        *,
        type: str | None = None,  # noqa: A002  what users write by name
        message: str = "scripted",
        retry_after: float | None = None,
    ) -> Script:
        """Fail as a provider does, in the reply of the last rule.

        Args:
            status: the HTTP status.
            type: the API's name of the error; that of the status if not given.
            message: what the error says.
            retry_after: seconds that the answer asks to wait.
        """
        return self._reply(self._rule.reply.fail(status, type=type, message=message, retry_after=retry_after))

    def reply(self, reply: Reply) -> Script:
        """Answer with this reply.

        Args:
            reply: in the place of what the rule says so far.
        """
        return self._reply(reply)

    def answer(self, answer: Answer) -> Script:
        """Answer with whatever the function says.

        Args:
            answer: from the prompt to a reply.
        """
        self._rule.answer = answer
        return self

    def reply_to(self, prompt: PromptView) -> Reply:
        """The reply to a prompt; a failure if there is none.

        Args:
            prompt: what the request says.
        """
        if self._queue is not None:
            # Used up: the test asked for fewer completions than there were.
            return self._queue.pop(0) if self._queue else _no_answer("the scripted replies are used up")
        for rule in self._rules:
            if rule.matches(prompt):
                return rule.answer(prompt) if rule.answer is not None else rule.reply
        return _no_answer(f"the script has no answer to {prompt.summary()}")

    @property
    def _rule(self) -> _Rule:
        if not self._rules:
            raise ValueError("say first when: Script().when(…).say(…)")
        return self._rules[-1]

    def _reply(self, reply: Reply) -> Script:
        self._rule.reply = reply
        return self


def _no_answer(message: str) -> Reply:
    return Reply().fail(400, message=message)


def _holds(text: str, wanted: str | re.Pattern[str]) -> bool:
    if isinstance(wanted, re.Pattern):
        return wanted.search(text) is not None
    return wanted.casefold() in text.casefold()


def _answers(prompt: PromptView, before: Reply) -> bool:
    """True if the last turn made these calls and the last message has nothing but their results."""
    if prompt.text or prompt.events or len(prompt.results) != len(before.calls):
        return False
    return all(
        result.tool == call.tool and (isinstance(call.arguments, str) or result.arguments == call.arguments)
        for result, call in zip(prompt.results, before.calls, strict=True)
    )
