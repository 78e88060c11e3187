"""What an MCP server asks the user (elicitation), put as choices: the one way in which RAP asks (CHO-1).

A form of yes-or-no and pick-one fields becomes one question per field. Text and numbers cannot be asked
this way: a field that has a default or may be left out is left to it, any other makes the answer a
refusal, of which the model is told, so that it can ask in words.
"""

from __future__ import annotations

from typing import Any

from mcp_types import (
    INVALID_REQUEST,
    ElicitRequestFormParams,
    ElicitRequestParams,
    ElicitRequestURLParams,
    ElicitResult,
    ErrorData,
)

from .calls import RunningCall

DECLINE = "Decline"
DONE = "I have done it"
AMBIGUOUS = ErrorData(
    code=INVALID_REQUEST,
    message="several conversations use this server at the moment, and it cannot be told which of them the question is for; call the tool again later",
)
_MISSING = object()


async def answer(running: RunningCall, asked: ElicitRequestParams) -> ElicitResult:
    """Put a question of the server to the user, and give the answer in the server's terms.

    Args:
        running: The call that the question belongs to. Its time stands still while the user is asked.
        asked: A form or a page to visit.

    Returns:
        ``accept`` with the content, or ``decline``; a decline that the user did not choose leaves a note
        for the model.
    """
    with running.asking():
        if isinstance(asked, ElicitRequestURLParams):
            return await _visit(running, asked)
        return await _fill_in(running, asked)


async def _visit(running: RunningCall, asked: ElicitRequestURLParams) -> ElicitResult:
    # The address in full: people must see where they are sent.
    # Declining is the default: a question that is dismissed must not count as consent (CHO-1).
    chosen = await running.call.choose(
        f"{asked.message}\n\nOpen this page, then choose: {asked.url}", [DONE, DECLINE], default=1
    )
    return ElicitResult(action="accept" if chosen == 0 else "decline")


async def _fill_in(running: RunningCall, asked: ElicitRequestFormParams) -> ElicitResult:
    fields: dict[str, Any] = asked.requested_schema.get("properties", {})
    required = set(asked.requested_schema.get("required", ()))
    unaskable = [
        name
        for name, schema in fields.items()
        if _options(schema) is None and name in required and "default" not in schema
    ]
    if unaskable:
        running.notes.append(
            f"[The server asked the user: {asked.message!r}, and wanted {', '.join(unaskable)} as text, which cannot be asked this way; "
            "it was declined. Ask the user yourself and call again with what the tool's arguments allow.]"
        )
        return ElicitResult(action="decline")
    content: dict[str, Any] = {}
    askable = {name: options for name, schema in fields.items() if (options := _options(schema)) is not None}
    if not askable and await running.call.choose(asked.message, ["Accept", DECLINE], default=1) == 1:
        return ElicitResult(action="decline")
    for name, schema in fields.items():
        value = (
            await _ask(running, asked.message, name, schema, askable[name], len(askable))
            if name in askable
            else schema.get("default", _MISSING)
        )
        if value is DECLINE:
            return ElicitResult(action="decline")
        if value is not _MISSING:
            content[name] = value
    return ElicitResult(action="accept", content=content)


async def _ask(
    running: RunningCall,
    message: str,
    name: str,
    schema: dict[str, Any],
    options: list[tuple[str, Any]],
    count: int,
) -> Any:
    label = schema.get("title") or name
    about = f" ({schema['description']})" if schema.get("description") else ""
    prompt = f"{message}\n\n{label}{about}" if count > 1 or about else message
    if schema.get("type") == "array":
        return await _pick_several(running, prompt, options)
    chosen = await running.call.choose(
        prompt, [*(title for title, _ in options), DECLINE], default=len(options)
    )
    return options[chosen][1] if chosen < len(options) else DECLINE


async def _pick_several(running: RunningCall, prompt: str, options: list[tuple[str, Any]]) -> Any:
    picked = []
    # RAP has no choice of several, so each option is a question with an answer of its own.
    for title, value in options:
        chosen = await running.call.choose(f"{prompt}: {title}?", ["Yes", "No", DECLINE], default=2)
        if chosen == 2:
            return DECLINE
        if chosen == 0:
            picked.append(value)
    return picked


def _options(schema: dict[str, Any]) -> list[tuple[str, Any]] | None:
    """Titles and values of a field that can be asked as a choice."""
    if schema.get("type") == "boolean":
        return [("Yes", True), ("No", False)]
    if schema.get("type") == "array":
        return _options(schema.get("items", {}))
    titled = schema.get("oneOf") or schema.get("anyOf")
    if titled:
        return [
            (str(each.get("title", each["const"])), each["const"]) for each in titled if "const" in each
        ] or None
    if schema.get("enum"):
        names = schema.get("enumNames") or schema["enum"]
        return [(str(name), value) for name, value in zip(names, schema["enum"], strict=False)]
    return None
