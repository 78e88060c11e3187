"""The built-in script: what answers when no provider is configured. It says so, echoes, and calls whatever
tool it is told to.

The first steps of the documentation work with it, without a key. It reads the request alone, so that it
goes on after a restart like any model.
"""

from __future__ import annotations

import json
import re
from typing import Any

from .prompt_view import PromptView
from .script import Reply, Script
from .turn import parse_arguments

HELP = (
    "I am Infinity's scripted model: no model provider is configured, so nothing here is intelligent. "
    "Set ANTHROPIC_API_KEY to talk to Claude. Until then I echo what you write and understand, one per line:\n"
    "  /call NAME {json}   call a tool, in parallel with those of other lines\n"
    "  Call NAME with KEY=VALUE, KEY=VALUE.   the same, in words\n"
    "  sleep SECONDS       call the sleep tool\n"
    "  /think TEXT         reason before answering\n"
    "  /long WORDS         answer with this many words\n"
    "  /fail STATUS        fail as a provider would, such as 429 or 529\n"
    "  /help               this text"
)

_COMMAND = re.compile(r"^\s*/(?P<verb>call|think|long|fail|help)\b[ \t]*(?P<rest>.*)$", re.IGNORECASE)
_WORDS = re.compile(
    r"^\s*(?:please\s+)?call\s+(?P<name>[^\s.,]+)(?:\s+with\s+(?P<pairs>.*?))?\s*[.!?]?\s*$", re.IGNORECASE
)
_PAIR = re.compile(r"(?P<key>\w[\w-]*)\s*=\s*(?:\"(?P<quoted>[^\"]*)\"|(?P<plain>[^,\s]+))")
_SLEEP = re.compile(
    r"^\s*(?:please\s+)?(?:sleep|wait)\s+(?:for\s+)?(?P<seconds>\d+(?:\.\d+)?)\b", re.IGNORECASE
)
_ECHO_CHARS = 2_000
"""Characters of what was said that are repeated."""
_LONGEST = 100_000
"""Words of the longest answer."""


def default_script() -> Script:
    """A new script with the one rule that answers everything."""
    return Script().otherwise().answer(_answer)


def _answer(prompt: PromptView) -> Reply:
    # Nobody has said anything: results and events are told.
    if not prompt.text:
        return Reply().say(_report(prompt))
    reply = Reply()
    if prompt.results or prompt.events:
        reply = reply.say(_report(prompt) + "\n")
    understood = False
    for line in prompt.text.splitlines():
        after = _line(line, prompt, reply)
        understood = understood or after is not None
        reply = after or reply
    return reply if understood else reply.say(_echo(prompt))


def _line(line: str, prompt: PromptView, reply: Reply) -> Reply | None:
    """The reply with what this line asks for; ``None`` if it is not a command."""
    if (sleep := _SLEEP.match(line)) and (call := _sleep_call(prompt, float(sleep["seconds"]))):
        return reply.call_raw(*call)
    if (words := _WORDS.match(line)) and (schema := prompt.tools.get(words["name"])) is not None:
        return reply.call_raw(words["name"], _arguments(words["pairs"] or "", schema))
    command = _COMMAND.match(line)
    if command is None:
        return None
    rest = command["rest"].strip()
    match command["verb"].lower():
        case "call":
            return _call(rest, prompt, reply)
        case "think":
            return reply.think(rest or "Nothing to think about.").say("I thought about it.")
        case "long":
            count = min(int(rest), _LONGEST) if rest.isdigit() else 100
            return reply.say(" ".join(f"word{number}" for number in range(1, count + 1)))
        case "fail":
            return reply.fail(int(rest) if rest.isdigit() and 400 <= int(rest) < 600 else 500)
        case _:
            return reply.say(HELP)


def _call(rest: str, prompt: PromptView, reply: Reply) -> Reply:
    name, _, text = rest.partition(" ")
    if name not in prompt.tools:
        offered = ", ".join(sorted(prompt.tools)) or "none"
        return reply.say(f"There is no tool {name!r}. Tools on offer: {offered}.\n")
    arguments, problem = parse_arguments(text)
    if arguments is None:
        return reply.say(f'I did not call {name}: {problem}. Write /call {name} {{"key": "value"}}.\n')
    return reply.call_raw(name, arguments)


def _arguments(pairs: str, schema: dict[str, Any]) -> dict[str, Any]:
    """``key=value`` pairs as arguments.

    A value is text unless the tool's schema says that it is something else.
    """
    properties = schema.get("properties", {})
    arguments: dict[str, Any] = {}
    for pair in _PAIR.finditer(pairs):
        key, text = pair["key"], pair["plain"] if pair["quoted"] is None else pair["quoted"]
        kind = properties.get(key)
        is_text = not isinstance(kind, dict) or kind.get("type", "string") == "string"
        arguments[key] = text if is_text else _json_or_text(text)
    return arguments


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text  # the tool's schema refuses it, in words


def _sleep_call(prompt: PromptView, seconds: float) -> tuple[str, dict[str, Any]] | None:
    """The sleep tool on offer with its first numeric argument set, if there is such a tool."""
    for name, schema in prompt.tools.items():
        if name != "sleep" and not name.startswith("sleep_"):
            continue
        for key, kind in schema.get("properties", {}).items():
            if isinstance(kind, dict) and kind.get("type") in ("number", "integer"):
                return name, {key: int(seconds) if kind["type"] == "integer" else seconds}
    return None


def _report(prompt: PromptView) -> str:
    lines = [f"{result.tool} answered: {_short(result.text)}" for result in prompt.results]
    lines += [f"Event from {event.tool}: {_short(event.text)}" for event in prompt.events]
    return "\n".join(lines) or "I got a message without text."


def _echo(prompt: PromptView) -> str:
    pictures = f" (and {prompt.images} images)" if prompt.images else ""
    said = _last_text(prompt) or prompt.text
    return (
        f"You said: {_short(said)}{pictures}\n\n(I am the scripted model; write /help to see what I can do.)"
    )


def _short(text: str) -> str:
    return text if len(text) <= _ECHO_CHARS else f"{text[:_ECHO_CHARS]}… ({len(text)} characters in all)"


def _last_text(prompt: PromptView) -> str:
    """What was said last; before it, in the same message, may stand the seed that tells the thread its id."""
    content = prompt.messages[-1]["content"] if prompt.messages else []
    texts = [block["text"] for block in content if isinstance(block, dict) and block.get("type") == "text"]
    return texts[-1] if texts else ""
