"""Requests as handlers see them on every host, the shapes of their bodies, and the checks of ids, keys and numbers.

An adapter (``local/http.py``, ``cloud/function_url.py``) makes a ``Request`` of what its server received; handlers read it here and nowhere else, so that
both hosts refuse the same input in the same words. Nothing of a body may be read before a handler asks for it: anyone who checks a credential first has
looked at nothing else (CB-5).
"""

from __future__ import annotations

import hmac
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from infinity._core import repaired
from infinity.api.errors import Refused
from infinity.errors import BadRequest
from infinity.ids import ID_RULE, USER_RULE, is_id, is_user

__all__ = [
    "ATTENTION",
    "LONGEST_PAGE",
    "LONGEST_TITLE",
    "PAGE",
    "STATES",
    "STATUSES",
    "Body",
    "Closing",
    "Export",
    "Interruption",
    "Migration",
    "NewMessage",
    "NewModel",
    "NewThread",
    "NewTitle",
    "Nothing",
    "Request",
    "Resuming",
    "Selection",
    "SignIn",
    "check_cursor",
    "check_token",
    "number",
    "page_size",
    "path_id",
    "too_large",
]

T = TypeVar("T")

PAGE = 100
LONGEST_PAGE = 1000
LONGEST_TITLE = 500
STATUSES = ("idle", "waiting", "stopped", "closed")
"""States in which threads can be looked for."""
STATES = ("running", "queued", "waiting", "idle", "stopped", "closed")
"""The same as explanations give them."""


ATTENTION = ("prompt", "problem", "any")
"""Why a thread may need a person."""


class Body(ABC):
    """The body of a request, not read yet. ``announced``: its size by the headers, where the host knows it before the body has come."""

    announced: int | None = None

    @abstractmethod
    async def read_up_to(self, most: int, rule: str | None = None) -> tuple[bytes, bool]:
        """The body, and whether that is all of it; of one that is larger than ``most`` bytes only the beginning.

        Raises:
            Refused: 408, if it does not come in time.
            BadRequest: for what cannot be decoded; ``rule`` is the protocol rule it breaks.
        """

    async def read(self, limit: int) -> bytes:
        """At most ``limit`` bytes. ``Refused`` (413) for more: at once where that much is announced."""
        if self.announced is None or self.announced <= limit:
            body, whole = await self.read_up_to(limit)
            if whole:
                return body
        raise too_large(limit, None)


@dataclass(frozen=True, slots=True)
class Request:
    """One request. ``query``: of a name that comes twice, the first; ``headers``: looked up in lower case; ``parameters``: from the path, decoded.

    ``limit``: bytes of a JSON body (``limits.message_bytes``); ``by_iam``: the platform has checked a signature of IAM; ``user``: whose page of the console
    sends it. ``repr`` leaves out what is confidential (S9).
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Body | None = field(default=None, repr=False)
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    limit: int = 1 << 20
    by_iam: bool = False
    user: str | None = None

    def id(self, name: str = "id") -> str:
        """An id in the path."""
        return path_id(self.parameters[name], name)

    def acting(self, named: str | None) -> str | None:
        """Whose doing it is (S11): that of the console's user, else of the one that the body names."""
        if named is not None and not is_user(named):
            raise BadRequest(f"'user_id' must be {USER_RULE}")
        return self.user or named

    def key(self) -> str | None:
        """The ``Idempotency-Key``."""
        key = self.headers.get("idempotency-key")
        if key is not None and not is_id(key):
            raise BadRequest(f"Idempotency-Key must be {ID_RULE}")
        return key

    def check_json(self, rule: str | None = None) -> None:
        """Refuse by the headers alone what cannot be JSON in UTF-8 (CB-6)."""
        kind, *parameters = self.headers.get("content-type", "").split(";")
        if kind.strip().lower() != "application/json":
            raise Refused(415, "content_type", "send 'Content-Type: application/json'", rule)
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "charset" and value.strip().strip('"').lower() not in (
                "utf-8",
                "utf8",
            ):
                raise Refused(415, "content_type", "send the body as UTF-8", rule)
        if self.headers.get("content-encoding", "identity").lower() != "identity":
            raise Refused(415, "content_type", "send the body without Content-Encoding", rule)

    async def json(self, shape: type[T], *, optional: bool = False) -> T:
        """The body as ``shape``. ``optional``: an absent body stands for the shape's defaults."""
        if optional and self.body is None:
            return shape()
        self.check_json()
        body = await self.body.read(self.limit) if self.body is not None else b""
        return shape() if optional and not body else _decode(body, shape)


class NewThread(msgspec.Struct, forbid_unknown_fields=True):
    """``model``: a configured name; ``id``: the client's own; creating it again is harmless."""

    model: str | None = None
    title: str = ""
    id: str | None = None


class NewMessage(msgspec.Struct, forbid_unknown_fields=True):
    """``content``: text, or content blocks in the shape of the Messages API; ``user_id``: whose message it is (S11)."""

    content: str | list[dict[str, Any]]
    user_id: str | None = None


class NewFork(msgspec.Struct, forbid_unknown_fields=True):
    """``at``: the position of the first entry that the fork does not inherit; ``say``: what it is told first; ``model``: in place of the thread's; ``tools``: whether each
    of its calls asks first, whatever the policy allows (``ask``), leaves as the policy says (``as_configured``), or is refused (``deny``)."""

    at: Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
    say: str | list[dict[str, Any]] | None = None
    model: str | None = None
    title: Annotated[str, msgspec.Meta(max_length=LONGEST_TITLE)] = ""
    tools: Literal["ask", "as_configured", "deny"] = "ask"
    user_id: str | None = None


class Selection(msgspec.Struct, forbid_unknown_fields=True):
    """``selected``: index of the choice; null dismisses the prompt, which stands for its default; ``reason``: why a call is not allowed, which the model is told;
    ``arguments``: with which a call is allowed in place of its own, where the prompt is ``editable``. The model is told of that with the result."""

    selected: int | None
    user_id: str | None = None
    reason: Annotated[str, msgspec.Meta(max_length=2_000)] | None = None
    arguments: dict[str, Any] | None = None


class SignIn(msgspec.Struct, forbid_unknown_fields=True):
    """``code``: from the address that ``infinity console`` has opened."""

    code: str


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
    """``model``: a configured name."""

    model: str


class NewTitle(msgspec.Struct, forbid_unknown_fields=True):
    """``title``: at most 500 characters; empty: its first words stand for it."""

    title: Annotated[str, msgspec.Meta(max_length=LONGEST_TITLE)]


class Migration(msgspec.Struct, forbid_unknown_fields=True):
    """``destination``: the other daemon's address; ``token``: from the file ``token`` in its home."""

    destination: str
    token: str


class Export(msgspec.Struct, forbid_unknown_fields=True):
    """``keep``: a copy, and the conversation goes on here; else it is out of service here, to live elsewhere."""

    keep: bool = False


def check_token(headers: Mapping[str, str], token: str, where: str) -> None:
    """``Refused`` (401) unless the request has the host's token. ``where``: where its user finds the token."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    # No comparison may end early, and what a header holds need not be Unicode.
    genuine = hmac.compare_digest(
        given.strip().encode(errors="surrogatepass"), token.encode(errors="surrogatepass")
    )
    if scheme.lower() != "bearer" or not genuine:
        raise Refused(401, "unauthorized", f"send 'Authorization: Bearer TOKEN' with the token {where}")


def _decode(body: bytes, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(repaired(body), type=shape)
    except msgspec.ValidationError as error:
        raise BadRequest(f"the body does not fit: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is not JSON in UTF-8: {error}") from None
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None


def path_id(text: str, name: str = "id") -> str:
    """An id in the path. ``Refused`` (404) for text that cannot be one."""
    if not is_id(text):
        what = name.removesuffix("_id") if name != "id" else "thread"
        raise Refused(404, "not_found", f"{what} not found: no id can have this form")
    return text


def page_size(query: Mapping[str, str]) -> int:
    """``limit``: items of a page at most."""
    return number(query, "limit", PAGE, least=1, most=LONGEST_PAGE)


def check_cursor(after: str) -> None:
    """``after`` of a listing of threads: ``ThreadRow.cursor`` of the last one."""
    updated_at, _, thread = after.partition(":")
    if not (updated_at.isascii() and updated_at.isdigit() and len(updated_at) <= 18 and is_id(thread)):
        raise BadRequest("'after' must be the 'next' of an earlier response")


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
