"""Display scripts are untrusted: a line, or nothing, and never for long."""

from __future__ import annotations

import threading

import pytest
from tests.patience import PATIENCE

from infinity._core import display


@pytest.mark.rap("DISC-8")
def test_a_script_makes_a_line_of_the_arguments() -> None:
    assert display('"PR #" + args.number', b'{"number": 42}') == "PR #42"
    assert display("`${args.owner}/${args.repo}`", b'{"owner": "a", "repo": "b"}') == "a/b"


@pytest.mark.rap("DISC-8")
@pytest.mark.parametrize(
    "script", ["", "42", "args", "args.missing + 1", "throw 1", "((", 'import "x" as x; "x"']
)
def test_a_script_that_fails_or_gives_no_string_is_nothing(script: str) -> None:
    assert display(script, b"{}") is None


@pytest.mark.trap("B4")
@pytest.mark.parametrize(
    "script",
    [
        "loop {}",
        "fn f() { f() } f()",
        'let s = "x"; loop { s += s; }',
        "let a = [1]; loop { a += a; }",
        "sleep(60)",
    ],
)
def test_a_script_without_end_is_stopped(script: str) -> None:
    outcome: list[str | None] = []
    runner = threading.Thread(target=lambda: outcome.append(display(script, b"{}")), daemon=True)
    runner.start()
    runner.join(PATIENCE)
    assert outcome == [None]
