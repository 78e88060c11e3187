"""Dialects of Chat Completions: what endpoints want other than OpenAI does, keyed by the endpoint's
address.

A row says what the endpoint's documentation or its users say; ``docs/guides/models.md`` has the table
and which of it was tested. An endpoint that is not in the table starts with ``PLAIN``, the form that
all known servers take. What it wants besides is learned (``lessons``), and ``dialect`` in
``[models.providers.NAME]`` says it outright.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .settings import DialectSettings

__all__ = ["PLAIN", "ROWS", "Dialect", "dialect_of", "overridden"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way to speak Chat Completions. The defaults are OpenAI's own, but for names that most others
    have.
    """

    call_ids: str = "any"
    """Ids of calls: ``any``, or ``nine`` letters and digits."""
    user_after_result: bool = True
    """Whether a user's message may stand right behind a result; else a short assistant's message goes
    between.
    """
    result_names: bool = False
    """Whether a result says the name of its tool."""
    single_calls: bool = False
    """Whether an assistant's message may hold one call only; several become messages of their own, each
    with its result.
    """
    instructions: str = "system"
    """The role of the instructions: ``system``, ``developer``, or ``user``, where they are put before the
    user's first words.
    """
    limit: str = "max_tokens"
    """The name of the most tokens that the model may say; empty: it is not sent."""
    usage: bool = True
    """Whether usage is asked for (``stream_options``); endpoints without it send it by themselves, or not
    at all.
    """
    content: str = "parts"
    """Content of a user's message: ``text`` is always one string, without images; ``parts`` is a list
    where there are images.
    """
    empty_content: bool = False
    """Whether the content of an assistant's message that has only calls is ``""``, not ``null``."""
    reasoning: str = "optional"
    """The field of reasoning that every assistant's message with calls must carry; ``optional``: what is
    there goes back; ``none``: nothing does.
    """
    reasoning_kept: str = "always"
    """How long reasoning goes back: ``always``, or with the messages that have ``calls``."""
    parts_of_thinking: bool = False
    """Whether reasoning that came as parts of the content goes back as such."""
    signatures: bool = False
    """Whether every assistant's message with calls must carry Gemini's thought signature."""
    learns_from_answers: bool = False
    """Whether an endpoint that sends ``reasoning_content`` with calls is taken to want it back with every
    call.
    """
    thinking_off: tuple[tuple[str, Any], ...] = ()
    """What turns reasoning off, put into the request."""
    without: frozenset[str] = frozenset()
    """Parameters that are not sent."""
    output_limit: int = 0
    """The most tokens of an answer that it takes, 0 if it has not said."""


_NO_EFFORT = (("reasoning_effort", "none"),)
_NO_TEMPLATE = (("chat_template_kwargs", {"enable_thinking": False}),)

PLAIN = Dialect(call_ids="nine", user_after_result=False, learns_from_answers=True)
_OPENAI = Dialect(
    limit="max_completion_tokens", instructions="developer", reasoning="none", thinking_off=_NO_EFFORT
)
_LOCAL = Dialect(call_ids="nine", user_after_result=False)

ROWS: dict[str, Dialect] = {
    "plain": PLAIN,
    "openai": _OPENAI,
    "azure": _OPENAI,
    "openrouter": Dialect(thinking_off=(("reasoning", {"enabled": False}),)),
    "mistral": Dialect(call_ids="nine", user_after_result=False, parts_of_thinking=True),
    "deepseek": Dialect(
        reasoning="reasoning_content",
        reasoning_kept="calls",
        thinking_off=(("thinking", {"type": "disabled"}),),
    ),
    "gemini": Dialect(result_names=True, signatures=True, thinking_off=_NO_EFFORT),
    "groq": Dialect(limit="max_completion_tokens", thinking_off=_NO_EFFORT),
    "xai": Dialect(limit="max_completion_tokens"),
    "together": Dialect(),
    "vllm": replace(_LOCAL, thinking_off=_NO_TEMPLATE),
    "llama.cpp": replace(_LOCAL, thinking_off=_NO_TEMPLATE),
    "ollama": replace(_LOCAL, empty_content=True, thinking_off=_NO_EFFORT),
    "lmstudio": _LOCAL,
}
"""By the name that ``dialect`` takes."""

_HOSTS: dict[str, str] = {
    "api.openai.com": "openai",
    "openai.azure.com": "azure",
    "services.ai.azure.com": "azure",
    "openrouter.ai": "openrouter",
    "api.mistral.ai": "mistral",
    "api.deepseek.com": "deepseek",
    "generativelanguage.googleapis.com": "gemini",
    "api.groq.com": "groq",
    "api.x.ai": "xai",
    "api.together.xyz": "together",
    "api.together.ai": "together",
}
"""By the end of the host's name."""
_PORTS: dict[str, str] = {"11434": "ollama", "1234": "lmstudio"}
"""By the port that a server at home listens on unless told otherwise."""
_HOME = frozenset({"127.0.0.1", "localhost", "[::1]"})


def dialect_of(host: str) -> str:
    """The name of an address's row; ``plain`` for one that is not in the table.

    Args:
        host: as in a URL, with the port where it has one.
    """
    name, _, port = host.rpartition(":") if ":" in host and not host.endswith("]") else (host, "", "")
    # At home only the usual port tells servers apart.
    if name in _HOME:
        return _PORTS.get(port, "plain")
    for end, row in _HOSTS.items():
        # By whole labels: a name that merely ends in the same letters is somebody else's.
        if name == end or name.endswith("." + end):
            return row
    return "plain"


def overridden(dialect: Dialect, settings: DialectSettings) -> Dialect:
    """The same dialect with what the configuration says.

    Args:
        dialect: a row.
        settings: what the user has set; it wins, and is never learned otherwise.
    """
    changes: dict[str, Any] = settings.said()
    if "without" in changes:
        changes["without"] = frozenset(changes["without"])
    return replace(dialect, **changes)
