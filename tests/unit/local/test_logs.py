"""The log says where something failed and of what kind, never what was in it (S9)."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import pytest

from infinity.errors import StoreError
from infinity.local.logs import start_logging, stop_logging

CONTENT = "what somebody sent"


def logged(
    path: Path, error: BaseException, level: str = "info", form: Literal["text", "json"] = "text"
) -> str:
    handlers = start_logging(path, level=level, form=form)
    try:
        logging.getLogger("infinity.test").error("it failed", exc_info=error)
    finally:
        stop_logging(handlers)
    return path.read_text()


def raised() -> BaseException:
    try:
        try:
            raise ValueError(CONTENT)
        except ValueError as error:
            raise StoreError("the disk is full") from error
    except StoreError as error:
        return error


@pytest.mark.trap("S9")
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_trace_holds_no_content(tmp_path: Path, form: Literal["text", "json"]) -> None:
    said = logged(tmp_path / "log", raised(), form=form)
    assert CONTENT not in said
    assert "ValueError" in said and "the disk is full" in said and "in raised" in said


def test_a_group_and_a_circle_are_traced_to_their_end(tmp_path: Path) -> None:
    first, second = ValueError(CONTENT), KeyError(CONTENT)
    first.__cause__, second.__cause__ = second, first
    said = logged(tmp_path / "log", ExceptionGroup(CONTENT, [first, second]))
    assert CONTENT not in said and said.count("ValueError") >= 1


def test_debugging_shows_it_all(tmp_path: Path) -> None:
    assert CONTENT in logged(tmp_path / "log", raised(), level="debug")
