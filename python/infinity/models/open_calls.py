"""The tool calls of an answer in Chat Completions that is being streamed, told apart as servers number
them.

The API's own form is an index in every piece, and id and name in the first. Servers number all calls 0,
or none; give one id to two calls, a new one to each piece, or none; send the name late; send arguments
as an object. A piece begins another call when its id and index say so; where they say nothing, when the
call before it is complete. Ids are made unique here: what they are is nobody's concern but ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from infinity.abc.model import ModelCall, ToolUse
from infinity.errors import ModelUnavailable

from .characters import whole
from .turn import count, parse_arguments

__all__ = ["OpenCall", "OpenCalls", "as_text"]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class OpenCall:
    """A tool call that is being streamed. ``given``: the id that the server gave it last."""

    __slots__ = ("again", "extra", "given", "id", "index", "name", "pieces")

    def __init__(self, call_id: str, name: str, given: str = "", index: int | None = None) -> None:
        """Begin a call.

        Args:
            call_id: ours, unique within the answer.
            name: of the tool; empty while it is not known.
            given: the id that the server gave it.
            index: the number that the server gave it.
        """
        self.id = call_id
        self.name = name
        self.given = given
        self.index = index
        self.pieces: list[str] = []
        self.extra: Any = None
        """What came with the call and is to go back with it."""
        self.again = ""
        """The name, where it came once more behind complete arguments: of a call that is still to begin,
        or said for nothing.
        """

    def begun(self) -> ToolUse:
        """What can be shown of it.

        Raises:
            ModelUnavailable: it has no name.
        """
        if not self.name:
            raise ModelUnavailable("the model's answer holds a tool call without a name")
        return ToolUse(self.id, self.name)

    def arguments(self) -> tuple[dict[str, Any] | None, str]:
        """The arguments so far, or ``None`` and what is wrong with them."""
        return parse_arguments(whole("".join(self.pieces)))

    @property
    def complete(self) -> bool:
        """Whether the arguments so far are one JSON object."""
        text = "".join(self.pieces).strip()
        if not text.endswith("}"):
            return False
        try:
            return isinstance(_decode(text), dict)
        except (msgspec.DecodeError, RecursionError):
            return False

    def used(self) -> tuple[dict[str, Any], ModelCall]:
        """The block in history, and the call."""
        arguments, problem = self.arguments()
        use = {"type": "tool_use", "id": self.id, "name": self.name, "input": arguments or {}}
        return use, ModelCall(self.id, self.name, arguments, problem)


class OpenCalls:
    """The calls of one answer, in the order in which they began."""

    def __init__(self, named: Callable[[str], str]) -> None:
        """Begin with none.

        Args:
            named: from the name on the wire to the tool's.
        """
        self._named = named
        self._calls: list[OpenCall] = []
        self._ids: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._calls)

    def feed(self, piece: dict[str, Any]) -> Iterator[ToolUse]:
        """Add one piece.

        Args:
            piece: an element of ``tool_calls``, or a ``function_call``.

        Returns:
            What can be shown: a call whose name is known.
        """
        function = piece.get("function")
        function = function if isinstance(function, dict) else piece
        name = self._named(function["name"]) if isinstance(function.get("name"), str) else ""
        given, index = as_text(piece.get("id")), _index(piece.get("index"))
        arguments = function.get("arguments")
        call = self._goes_on(given, index, name, arguments)
        if call is None:
            name = name or (self._calls[-1].again if self._calls else "")
            call = OpenCall(self._unique(given), "", given, index)
            self._calls.append(call)
        elif name and call.complete:
            call.again = name
        call.given = given or call.given
        if (extra := piece.get("extra_content")) is not None:
            call.extra = extra
        if name and not call.name:
            call.name = name
            yield call.begun()
        if isinstance(arguments, str):
            if _begins(arguments) and call.complete:
                call.pieces.clear()  # said once more, or for the first time behind a placeholder
            if arguments:
                call.pieces.append(arguments)
        elif arguments is not None:
            call.pieces[:] = [_encode(arguments).decode()]

    def finished(self) -> list[OpenCall]:
        """All calls, in the order of their indices where those are different, else in the order in which
        they began.

        Raises:
            ModelUnavailable: one has no name.
        """
        indices = [call.index for call in self._calls]
        # Numbers that tell all calls apart are meant as an order; others mean nothing.
        if None not in indices and len(set(indices)) == len(indices):
            self._calls.sort(key=lambda call: call.index or 0)
        for call in self._calls:
            call.begun()
        return self._calls

    def _goes_on(self, given: str, index: int | None, name: str, arguments: Any) -> OpenCall | None:
        """The call that a piece belongs to; ``None`` if it begins one."""
        call = self._nearest(given, index)
        if call is None or (not call.name and not call.pieces):
            return call
        if given and given == call.given:
            return None if _begins(arguments) and call.complete and not _repeats(call, arguments) else call
        if given and call.given:
            # Another id: another call, unless the server gives every piece one and this one only goes on.
            goes_on = call.pieces and not call.complete and not _begins(arguments)
            return call if goes_on or (not name and not call.complete) else None
        if name and call.name and (name != call.name or call.complete):
            return None
        return None if _begins(arguments) and call.complete else call

    def _nearest(self, given: str, index: int | None) -> OpenCall | None:
        """The last call of this id; without one, of this index; without that, the last."""
        if given:
            same = [call for call in self._calls if call.given == given]
            if index is not None:
                same = [call for call in same if call.index in (None, index)]
            if same:
                return same[-1]
        if index is not None:
            return next((call for call in reversed(self._calls) if call.index == index), None)
        return self._calls[-1] if self._calls else None

    def _unique(self, given: str) -> str:
        call_id = stem = given or f"call_{len(self._calls)}"
        number = 1
        while call_id in self._ids:
            number += 1
            call_id = f"{stem}_{number}"
        self._ids.add(call_id)
        return call_id


def _begins(arguments: Any) -> bool:
    """Whether these can be the arguments of a call from their beginning."""
    return isinstance(arguments, dict) or (isinstance(arguments, str) and arguments.lstrip().startswith("{"))


def _repeats(call: OpenCall, arguments: Any) -> bool:
    """Whether a piece says again what was said: some servers end a call with all of it.

    ``{}`` held a place.
    """
    said = "".join(call.pieces)
    again = arguments if isinstance(arguments, str) else _encode(arguments).decode()
    return said in ("{}", again)


def _index(value: Any) -> int | None:
    return None if value is None or value == "" else count(value)


def as_text(value: Any) -> str:
    """An id as some servers give it: a number, or nothing.

    Args:
        value: any JSON.
    """
    return value if isinstance(value, str) else str(value) if isinstance(value, int) else ""
