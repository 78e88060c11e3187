"""What a request may ask for: the shapes of bodies, ids, keys and numbers, and what is said of those that do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from infinity._core import repaired
from infinity.api.errors import Refused
from infinity.errors import BadRequest
from infinity.ids import ID_RULE, USER_RULE, is_id, is_user

__all__ = [
    "LONGEST_PAGE",
    "PAGE",
    "Closing",
    "Interruption",
    "NewMessage",
    "NewModel",
    "NewThread",
    "Nothing",
    "Resuming",
    "Selection",
    "check_encoding",
    "check_key",
    "check_message",
    "check_selection",
    "decode",
    "number",
    "page",
    "path_id",
    "too_large",
]

T = TypeVar("T")

PAGE = 100
LONGEST_PAGE = 1000


class NewThread(msgspec.Struct, forbid_unknown_fields=True):
    """``model``: a configured name; ``id``: the client's own; creating it again is harmless."""

    model: str | None = None
    title: str = ""
    id: str | None = None


class NewMessage(msgspec.Struct, forbid_unknown_fields=True):
    """``content``: text, or content blocks in the shape of the Messages API; ``user_id``: whose message it is (S11)."""

    content: str | list[dict[str, Any]]
    user_id: str | None = None


class Selection(msgspec.Struct, forbid_unknown_fields=True):
    """``selected``: index of the choice; null dismisses the prompt, which stands for its default."""

    selected: int | None
    user_id: str | None = None


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """No members."""


class Closing(msgspec.Struct, forbid_unknown_fields=True):
    """``report``: a last word for the parent thread."""

    report: str | None = None


class Interruption(msgspec.Struct, forbid_unknown_fields=True):
    """``calls``: whether open calls are cancelled, too; else only the completion that runs is ended."""

    calls: bool = True


class Resuming(msgspec.Struct, forbid_unknown_fields=True):
    """``problem``: the code of a problem; only threads that rest with it are resumed."""

    problem: str | None = None


class NewModel(msgspec.Struct, forbid_unknown_fields=True):
    model: str


def check_message(message: NewMessage) -> None:
    if not message.content or (isinstance(message.content, str) and not message.content.strip()):
        raise BadRequest("'content' is empty")
    _check_user(message.user_id)


def check_selection(selection: Selection) -> None:
    _check_user(selection.user_id)


def _check_user(user_id: str | None) -> None:
    if user_id is not None and not is_user(user_id):
        raise BadRequest(f"'user_id' must be {USER_RULE}")


def check_encoding(content_type: str, charset: str | None, encoding: str, rule: str | None = None) -> None:
    """Refuse by the headers alone what cannot be a JSON body of ours (CB-6)."""
    if content_type != "application/json":
        raise Refused(415, "content_type", "send 'Content-Type: application/json'", rule)
    if (charset or "utf-8").lower() not in ("utf-8", "utf8"):
        raise Refused(415, "content_type", "send the body as UTF-8", rule)
    if encoding.lower() != "identity":
        raise Refused(415, "content_type", "send the body without Content-Encoding", rule)


def decode(body: bytes, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(repaired(body), type=shape)
    except msgspec.ValidationError as error:
        raise BadRequest(f"the body does not fit: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is not JSON in UTF-8: {error}") from None
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None


def path_id(text: str, name: str = "id") -> str:
    """An id in the path. What cannot be an id is not there."""
    if not is_id(text):
        what = name.removesuffix("_id") if name != "id" else "thread"
        raise Refused(404, "not_found", f"there is no {what} with such an id")
    return text


def check_key(key: str | None) -> str | None:
    """An ``Idempotency-Key``."""
    if key is not None and not is_id(key):
        raise BadRequest(f"Idempotency-Key must be {ID_RULE}")
    return key


def page(query: Mapping[str, str]) -> tuple[int, int]:
    """``after`` and ``limit`` of a listing by position."""
    return number(query, "after", -1, least=-1, most=1 << 62), number(
        query, "limit", PAGE, least=1, most=LONGEST_PAGE
    )


def number(query: Mapping[str, str], name: str, default: int, *, least: int, most: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or not least <= int(text[:20]) <= most:
        raise BadRequest(f"'{name}' must be a whole number from {least} to {most}")
    return int(text)


def too_large(limit: int, rule: str | None, setting: str = "limits.message_bytes") -> Refused:
    return Refused(413, "too_large", f"the body is larger than {limit} bytes ({setting})", rule)
