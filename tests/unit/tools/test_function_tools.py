"""What can be a tool, and what is refused when it is made, or when its agent is."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from infinity import Agent, tool
from infinity.errors import ConfigError
from infinity.rap import Call


async def star(*names: str) -> None:
    """Star."""


def keywords(**names: str) -> None:
    """Any keywords."""


def positional(name: str, /) -> None:
    """Positional."""


def yielding() -> Iterator[str]:
    """Yield."""
    yield ""


async def async_yielding() -> AsyncIterator[str]:
    """Yield."""
    yield ""


def with_call(item: str, call: Call) -> None:
    """The kit's."""


def with_function(then: Callable[[], None]) -> None:
    """Not from JSON."""


def with_object(thing: threading.Event) -> None:  # type: ignore[name-defined]  # noqa: F821
    """A type that is not there."""


def undocumented(x: int) -> int:
    return x


def send_message_to_child(x: int) -> int:
    """The name of a built-in."""
    return x


class Machine:
    """A machine."""

    def start(self, speed: int) -> str:
        """Start it."""
        return f"at {speed}"

    def __call__(self, speed: int) -> str:
        """Run it."""
        return f"runs at {speed}"


REFUSED = [
    star,
    keywords,
    positional,
    yielding,
    async_yielding,
    with_call,
    with_function,
    with_object,
    undocumented,
    send_message_to_child,
    lambda x: x,
    Machine,
    Machine.start,
    Machine(),
    functools.partial(star, "a"),
    print,
    dict,
    "a text",
    3,
    None,
]


@pytest.mark.parametrize("function", REFUSED, ids=lambda each: getattr(each, "__name__", str(type(each))))
def test_what_cannot_be_a_tool_is_refused_with_words(function: Any) -> None:
    with pytest.raises(ConfigError, match=r"tool"):
        Agent(tools=[function])
    with pytest.raises(ConfigError, match=r"tool"):
        Agent(tools=[tool()(function)])


@pytest.mark.parametrize("name", ["", "x" * 65, "sleep", "receive_event__injected"])
def test_a_name_that_no_model_takes_or_that_is_taken_is_refused(name: str) -> None:
    def function() -> None:
        """Do."""

    function.__name__ = name or "<lambda>"
    with pytest.raises(ConfigError):
        Agent(tools=[function])


def test_names_that_are_one_to_the_model_are_refused() -> None:
    def function() -> None:
        """Do."""

    with pytest.raises(ConfigError, match="same name"):
        Agent(tools=[tool(name="a.b")(function), tool(name="a_b")(function)])


def test_plain_functions_with_a_docstring_methods_and_partials_can_be_tools() -> None:
    def greet(name: str = "you") -> str:
        """Greet somebody."""
        return f"hello {name}"

    partial = tool(name="fixed")(functools.partial(greet, name="me"))
    agent = Agent(tools=[greet, Machine().start, partial, tool(name="machine")(Machine())])
    schemas = {each.name: each.schema for each in agent.tools}  # type: ignore[union-attr]
    assert schemas["greet"]["properties"] == {"name": {"default": "you", "type": "string"}}
    assert schemas["start"]["required"] == schemas["machine"]["required"] == ["speed"]
    described = [each.description for each in agent.tools]  # type: ignore[union-attr]
    assert described == ["Greet somebody.", "Start it.", "Greet somebody.", "A machine."]


def test_a_parameter_without_a_type_takes_any_json_and_a_return_type_need_not_exist() -> None:
    def loose(anything, more: int = 1) -> Missing:  # type: ignore  # noqa: F821
        """Take anything."""

    [made] = Agent(tools=[loose]).tools
    assert made.signature.check({"anything": [1]}) == {"anything": [1], "more": 1}  # type: ignore[union-attr]
