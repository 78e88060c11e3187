"""Real conversations, recorded once and replayed without key or network; keys and personal data do not get
into the file.

::

    Kit(path, agent, Recorder(real_model, "answers.jsonl"))     # once Kit(path, agent,
    Replay("answers.jsonl"))                   # from then on

A request is known by its messages. Ids, keys and personal data in them are numbered in the order in
which they appear, so that a test with other ids, or another person's address, finds its answer; in the
answer the numbers become what the request at hand has in their place. A file is meant to be committed:
whatever is added here must not write what a rule hides.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from infinity import errors
from infinity.abc import Model, ModelInfo, ModelRequest, Part, Reasoning, Text, ToolUse, Turn
from infinity.errors import ConfigError, InvalidModelRequest, ModelError

__all__ = ["DEFAULT_RULES", "Recorder", "Replay", "Rule"]

FORMAT = 1
"""Of a recording; another one is refused."""


class Rule(NamedTuple):
    r"""What to replace, and by the number of what: ``[email 1]``.

    ``pattern`` meets JSON text, in which line breaks are written ``\\n``; its group ``value``, if it
    has one, is what is replaced.
    """

    name: str
    pattern: re.Pattern[str]


def _rule(name: str, pattern: str) -> Rule:
    return Rule(name, re.compile(pattern))


_NAMED = r"(?:password|passwd|secret|token|api[_-]?key)"

DEFAULT_RULES = (
    _rule("key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^\"]*?-----END [A-Z ]*PRIVATE KEY-----"),
    _rule("key", r"\b(?:sk|pk|rk)[-_](?:[A-Za-z0-9]+[-_])*[A-Za-z0-9_-]{16,}"),
    _rule(
        "key", r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abeprs]-[\w-]{10,})"
    ),
    _rule("key", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    _rule("key", r"\bAIza[\w-]{30,}"),
    _rule("key", r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"),
    _rule("key", r"(?:\b[Bb]earer|uthorization: Basic) (?P<value>[A-Za-z0-9._~+/-]{8,}=*)"),
    _rule("key", r"://[^/\s:@\"]+:(?P<value>[^/\s@\"]+)@"),
    _rule("key", rf"(?i)\b{_NAMED}\\?\"?\s*[:=]\s*\\?\"?(?P<value>[^\s\"&,;\\]{{4,}})"),
    _rule("email", r"\b[\w.%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b"),
    _rule("iban", r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b"),
    _rule("card", r"\b(?:\d{4}[ -]){3}\d{4}\b|\b[3-6]\d{14,15}\b"),
    _rule("phone", r"(?<![\w.])\+\d{1,3}[ ()./-]?(?:\d[ ()./-]?){7,12}\d\b"),
    _rule("address", r"\b(?:\d{1,3}\.){3}\d{1,3}\b"),
)
"""Keys of the usual services, and what names or reaches a person.

Names of people have no shape: bring rules of your own for them.
"""

_IDS = _rule("id", r"\b(?:(?:call|thread|event|message|control)_(?:[0-9a-f]{30}|\d+)|(?:toolu|msg)_\w+)\b")
"""Ids of the runtime and of providers, which differ from run to run."""


_HIDDEN = re.compile(r"\[?[a-z]+ \d+\]?|\[[a-z]+")


class Names:
    """What stands for what in one exchange: numbered by first appearance, so that the same request always
    gets the same numbers.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        """Begin an exchange.

        Args:
            rules: what is hidden; ids are hidden besides.
        """
        self._rules = [*rules, _IDS]
        self._given: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = defaultdict(int)

    def hide(self, text: str) -> str:
        """The text with everything that a rule finds replaced.

        Args:
            text: JSON.
        """
        for name, pattern in self._rules:
            # In the order of the rules: a key is hidden before what merely looks like a number.
            text = pattern.sub(partial(self._hidden, name), text)
        return text

    def show(self, text: str) -> str:
        """The other way round.

        An id that this exchange does not know is a new one; anything else unknown stays hidden.

        Args:
            text: JSON with numbers in it.
        """
        back = {number: value for (_, value), number in self._given.items()}

        def shown(found: re.Match[str]) -> str:
            # A call that the model makes anew needs an id that no other has.
            made_up = f"toolu_replayed_{found['number']}" if found["name"] == "id" else found[0]
            return back.get(found[0], made_up)

        return re.sub(r"\[(?P<name>[a-z]+) (?P<number>\d+)\]", shown, text)

    def _hidden(self, name: str, found: re.Match[str]) -> str:
        group = "value" if "value" in found.re.groupindex else 0
        # An earlier rule has hidden it.
        if _HIDDEN.fullmatch(found[group]):
            return found[0]
        start, end = (place - found.start() for place in found.span(group))
        return found[0][:start] + self._number(name, found[group]) + found[0][end:]

    def _number(self, name: str, value: str) -> str:
        key = (name, value)
        if key not in self._given:
            self._counts[name] += 1
            self._given[key] = f"[{name} {self._counts[name]}]"
        return self._given[key]


class Exchange(msgspec.Struct, omit_defaults=True):
    """One line of a recording.

    ``asked``: the end of the request's last message, for people; ``turn`` or ``error``: what came of
    it.
    """

    key: str
    asked: str
    turn: dict[str, Any] | None = None
    error: str | None = None
    text: str = ""


class _Header(msgspec.Struct):
    recording: int


class Recorder:
    """A model that passes everything on to a real one, and keeps what it answered."""

    def __init__(
        self,
        model: Model,
        path: Path | str,
        *,
        info: ModelInfo | None = None,
        rules: Sequence[Rule] = DEFAULT_RULES,
    ) -> None:
        """Begin a recording; an earlier one of this name is replaced.

        Args:
            model: the real one.
            path: of the recording.
            info: which of the real one's models to ask, whatever the request names.
            rules: what is hidden in it.
        """
        self._model = model
        self._info = info
        self._path = Path(path)
        self._rules = rules
        # Begun anew: answers of an earlier run would be replayed before those of this one.
        self._path.write_bytes(msgspec.json.encode(_Header(FORMAT)) + b"\n")

    async def stream(self, request: ModelRequest) -> AsyncIterator[Part]:
        names = Names(self._rules)
        key, asked = _identify(request, names)
        # After the key was made: a replay knows nothing of the real model.
        if self._info is not None:
            request = replace(request, model=self._info, max_tokens=self._info.output_limit)
        try:
            async with aclosing(self._model.stream(request)) as parts:  # type: ignore[type-var]
                async for part in parts:
                    if isinstance(part, Turn):
                        turn = msgspec.json.decode(names.hide(msgspec.json.encode(part).decode()))
                        # As soon as it is there: a test that fails later has still recorded what was paid
                        # for.
                        self._keep(Exchange(key, asked, turn=turn))
                    yield part
        except ModelError as error:
            self._keep(Exchange(key, asked, error=type(error).__name__, text=names.hide(str(error))))
            raise

    async def list(self) -> list[ModelInfo]:
        return await self._model.list()

    async def close(self) -> None:
        await self._model.close()

    def _keep(self, exchange: Exchange) -> None:
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(exchange) + b"\n")


class Replay:
    """A model that answers from a recording.

    The same request asked again gets its recorded answers in turn, then the last one again. A request
    that is not in it fails like one that the API refuses, and says what to do.
    """

    def __init__(self, path: Path | str, *, rules: Sequence[Rule] = DEFAULT_RULES) -> None:
        """Read a recording.

        Args:
            path: of the recording.
            rules: those with which it was made.

        Raises:
            ConfigError: the file is not a recording.
        """
        self._path = Path(path)
        self._rules = rules
        self._answers: dict[str, list[Exchange]] = defaultdict(list)
        for exchange in _read(self._path):
            self._answers[exchange.key].append(exchange)

    async def stream(self, request: ModelRequest) -> AsyncIterator[Part]:
        names = Names(self._rules)
        key, asked = _identify(request, names)
        answers = self._answers.get(key)
        if not answers:
            raise InvalidModelRequest(
                f"{self._path} has no answer to a request that ends in {asked!r}; if the conversation was meant to change, record it again"
            )
        # The last one stays, for requests that are repeated more often than they were recorded.
        exchange = answers.pop(0) if len(answers) > 1 else answers[0]
        if exchange.error is not None:
            raise _error(exchange)
        turn = msgspec.json.decode(names.show(msgspec.json.encode(exchange.turn).decode()), type=Turn)
        for part in _live(turn):
            yield part
        yield turn

    async def list(self) -> list[ModelInfo]:
        return []

    async def close(self) -> None:
        return


def _identify(request: ModelRequest, names: Names) -> tuple[str, str]:
    """The request's key, and the end of what was said last."""
    hidden = names.hide(request.messages.decode())
    last = msgspec.json.encode(msgspec.json.decode(hidden)[-1:]).decode()
    return sha256(hidden.encode()).hexdigest()[:24], last[-160:]


def _live(turn: Turn) -> list[Part]:
    """What a stream shows before the turn is complete."""
    parts: list[Part] = []
    for block in turn.blocks:
        match block["type"]:
            case "text":
                parts.append(Text(block["text"]))
            case "thinking":
                parts.append(Reasoning(block["thinking"]))
            case "tool_use":
                parts.append(ToolUse(block["id"], block["name"]))
    return parts


def _error(exchange: Exchange) -> ModelError:
    kind = getattr(errors, exchange.error or "", ModelError)
    error: ModelError = kind(exchange.text)
    return error


def _read(path: Path) -> list[Exchange]:
    try:
        first, *lines = path.read_bytes().splitlines()
        header = msgspec.json.decode(first, type=_Header)
        if header.recording != FORMAT:
            raise ConfigError(
                f"{path} has the format {header.recording}, this version reads {FORMAT}; record it again"
            )
        return [msgspec.json.decode(line, type=Exchange) for line in lines]
    except FileNotFoundError:
        raise ConfigError(
            f"there is no recording {path}; make one with 'pytest --infinity-record MODEL', or with infinity.testing.Recorder"
        ) from None
    except (ValueError, msgspec.DecodeError) as error:
        raise ConfigError(f"{path} is not a recording ({error}); record it again") from None
