"""What endpoints refuse that copy Chat Completions, each in its own words: for ``OpenAIServer(...,
dialect=NAME)``.

Taken from what their users report, not checked against the live services. ``silent`` refuses what
several do and never says why.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["STRICT", "THOUGHTS", "Refusal"]

Refusal = tuple[int, Any]
"""HTTP status and body."""
Message = dict[str, Any]
_NINE = re.compile(r"[a-zA-Z0-9]{9}")
_REASONING = ("reasoning_content", "reasoning", "reasoning_details")


def _calls(body: Message) -> Iterator[tuple[int, Message]]:
    """Assistant's messages with calls."""
    for index, message in enumerate(body["messages"]):
        if message["role"] == "assistant" and message.get("tool_calls"):
            yield index, message


def _in_exchange(body: Message) -> Iterator[tuple[int, Message]]:
    """The same of the current exchange: behind the last thing that the user said."""
    said = [index for index, message in enumerate(body["messages"]) if message["role"] == "user"]
    return ((index, message) for index, message in _calls(body) if index > (said[-1] if said else -1))


def _bad_ids(body: Message) -> list[str]:
    return [
        call["id"]
        for _, message in _calls(body)
        for call in message["tool_calls"]
        if not _NINE.fullmatch(call["id"])
    ]


def _user_after_tool(body: Message) -> bool:
    roles = [message["role"] for message in body["messages"]]
    return any(pair == ("tool", "user") for pair in itertools.pairwise(roles))


def _fields(body: Message, names: tuple[str, ...] = _REASONING) -> Iterator[tuple[int, str]]:
    for index, message in enumerate(body["messages"]):
        yield from ((index, name) for name in names if name in message)


def _error(message: str, **fields: Any) -> Message:
    return {
        "error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **fields}
    }


def _openai(body: Message) -> Refusal | None:
    if "max_tokens" in body:
        return 400, _error(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            param="max_tokens",
            code="unsupported_parameter",
        )
    for index, name in _fields(body):
        return 400, _error(f"Unrecognized request argument supplied: messages[{index}].{name}")
    return None


def _mistral(body: Message) -> Refusal | None:
    if bad := _bad_ids(body):
        text = f"Tool call id was {bad[0]} but must be a-z, A-Z, 0-9, with a length of 9."
        return 400, {"object": "error", "message": text, "type": "invalid_function_call", "code": "3280"}
    if _user_after_tool(body):
        text = "Expected last role User or Tool (or Assistant with prefix True) ... Unexpected role 'user' after role 'tool'"
        return 400, {
            "object": "error",
            "message": text,
            "type": "invalid_request_message_order",
            "code": "3230",
        }
    if found := [*_fields(body)]:
        detail = [
            {
                "type": "extra_forbidden",
                "loc": ["body", "messages", index, name],
                "msg": "Extra inputs are not permitted",
            }
            for index, name in found
        ]
        return 422, {"detail": detail}
    return None


def _deepseek(body: Message) -> Refusal | None:
    for index, message in _in_exchange(body):
        if not message.get("reasoning_content"):
            return 400, _error(
                f"Missing `reasoning_content` field in the assistant message at message index {index}."
            )
    return None


def _gemini(body: Message) -> Refusal | None:
    for index, message in _in_exchange(body):
        extra = message["tool_calls"][0].get("extra_content") or {}
        if not (extra.get("google") or {}).get("thought_signature"):
            text = f"Function call is missing a thought_signature in functionCall parts. (content {index})"
            return 400, [{"error": {"code": 400, "message": text, "status": "INVALID_ARGUMENT"}}]
    return None


def _groq(body: Message) -> Refusal | None:
    for index, _ in _fields(body, ("reasoning_content", "reasoning_details")):
        what = f"'messages.{index}' : for 'role:assistant' the following must be satisfied"
        return 400, _error(f"{what}[('messages.{index}' : property 'reasoning_content' is unsupported)]")
    return None


def _template(body: Message) -> Refusal | None:
    """A chat template that was made for another kind of conversation."""
    if _user_after_tool(body):
        text = "Conversation roles must alternate user/assistant/user/assistant/... at row 42, column 8"
        return 500, {"error": {"code": 500, "message": text, "type": "server_error"}}
    return None


def _vllm(body: Message) -> Refusal | None:
    if bad := _bad_ids(body):
        text = f"Tool call id was {bad[0]} but must be a-z, A-Z, 0-9, with a length of 9."
        return 400, {
            "object": "error",
            "message": text,
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        }
    return None


def _ollama(body: Message) -> Refusal | None:
    if any(message.get("content") is None for message in body["messages"]):
        return 400, _error("invalid message content type: <nil>")
    return None


def _no_usage(body: Message) -> Refusal | None:
    if "stream_options" in body:
        detail = [
            {
                "type": "extra_forbidden",
                "loc": ["body", "stream_options"],
                "msg": "Extra inputs are not permitted",
            }
        ]
        return 422, {"detail": detail}
    return None


def _no_system(body: Message) -> Refusal | None:
    if any(message["role"] in ("system", "developer") for message in body["messages"]):
        return 400, _error("System role not supported")
    return None


def _text_only(body: Message) -> Refusal | None:
    for index, message in enumerate(body["messages"]):
        if isinstance(message.get("content"), list):
            return 422, _error(f"messages[{index}].content: Input should be a valid string")
    return None


def _no_limit(body: Message) -> Refusal | None:
    for name in ("max_tokens", "max_completion_tokens"):
        if name in body:
            return 400, _error(f"{name} is not supported", param=name)
    return None


def _small_answers(body: Message) -> Refusal | None:
    for name in ("max_tokens", "max_completion_tokens"):
        if body.get(name, 0) > 512:
            return 400, _error(
                f"{name} is too large: {body[name]}. This model supports at most 512 completion tokens."
            )
    return None


def _no_settings(body: Message) -> Refusal | None:
    for name in ("temperature", "seed", "parallel_tool_calls"):
        if name in body:
            return 400, _error(
                f"Unsupported parameter: '{name}' is not supported with this model.", param=name
            )
    return None


def _single_calls(body: Message) -> Refusal | None:
    if any(len(message["tool_calls"]) > 1 for _, message in _calls(body)):
        return 400, _error("This model only supports single tool-calls at once!")
    return None


def _named_results(body: Message) -> Refusal | None:
    if any(message["role"] == "tool" and not message.get("name") for message in body["messages"]):
        text = "GenerateContentRequest.contents[2].parts[0].function_response.name: Name cannot be empty."
        return 400, [{"error": {"code": 400, "message": text, "status": "INVALID_ARGUMENT"}}]
    return None


def _silent(body: Message) -> Refusal | None:
    # Several demands at once and not a word about any: the hardest endpoint to learn.
    refused = _bad_ids(body) or _user_after_tool(body) or _deepseek(body) or _no_usage(body)
    return (400, _error("Bad Request")) if refused else None


STRICT: dict[str, Callable[[Message], Refusal | None]] = {
    "openai": _openai,
    "azure": _openai,
    "openrouter": lambda _: None,
    "mistral": _mistral,
    "deepseek": _deepseek,
    "gemini": _gemini,
    "groq": _groq,
    "xai": lambda _: None,
    "together": lambda _: None,
    "vllm": _vllm,
    "llama.cpp": _template,
    "ollama": _ollama,
    "lmstudio": _template,
    "no usage": _no_usage,
    "no system": _no_system,
    "text only": _text_only,
    "no limit": _no_limit,
    "small answers": _small_answers,
    "no settings": _no_settings,
    "single calls": _single_calls,
    "named results": _named_results,
    "silent": _silent,
}
"""By the names of the table of dialects; those behind them are demands of servers that are in no table."""

THOUGHTS = {"openai": "", "azure": "", "groq": "reasoning", "mistral": "parts"}
"""Where an endpoint puts its reasoning, if not into ``reasoning_content`` (see ``ChatPlayback``)."""
