"""Fixtures for pytest: ``infinity_kit``, ``infinity_recorded``. Installed with the package; nothing is
imported before one is used.

They are plain functions that give asynchronous context managers, so they work under any asyncio plugin.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from infinity.abc import Model

    from .kit import Kit

__all__ = ["infinity_kit", "infinity_recorded", "pytest_addoption"]

RECORDINGS = "recordings"
"""The folder beside a test's file in which recordings are."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--infinity-record``.

    Args:
        parser: of pytest.
    """
    parser.getgroup("infinity").addoption(
        "--infinity-record",
        metavar="MODEL",
        help="Ask this model (such as anthropic/claude-sonnet-4-5) where a test uses infinity_recorded, and record what it answers.",
    )


@pytest.fixture
def infinity_kit(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[Kit]]:
    """``async with infinity_kit(agent, script) as kit``: a ``Kit`` on a journal in the test's own
    directory.

    Opened again in the same test, it goes on with the same journal.

    Args:
        tmp_path: of pytest.
    """

    def make(agent: Any = None, model: Any = None, **how: Any) -> Kit:
        from .kit import Kit

        return Kit(tmp_path / "infinity.db", agent, model, **how)

    return make


@pytest.fixture
def infinity_recorded(request: pytest.FixtureRequest) -> Model:
    """What a real model answered in this test when it was last run with ``--infinity-record``.

    Recordings are in ``recordings/`` beside the test's file.

    Args:
        request: of pytest.
    """
    name = re.sub(r"[^\w.-]+", "_", request.node.name).strip("_")
    path = Path(request.node.path).parent / RECORDINGS / f"{Path(request.node.path).stem}.{name}.jsonl"
    from .record import Recorder, Replay

    wanted = request.config.getoption("--infinity-record")
    if not wanted:
        return Replay(path)
    path.parent.mkdir(exist_ok=True)
    from infinity.models.registry import Models

    model, info = Models().resolve(wanted)
    return Recorder(model, path, info=info)
