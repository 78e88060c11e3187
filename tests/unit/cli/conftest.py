from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.ports import free_port

from infinity.cli.main import infinity

Run = Callable[..., Result]


def command(*arguments: str) -> list[str]:
    """The real command, in a process of its own."""
    return [sys.executable, "-m", "infinity.cli", *arguments]


def environment(home: Path) -> dict[str, str]:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("INFINITY_", "ANTHROPIC_"))
    }
    return {**clean, "INFINITY_HOME": str(home)}


def prepared(home: Path, config: str = "") -> Path:
    home.mkdir(mode=0o700, parents=True)
    (home / "infinity.toml").write_text(f"[daemon]\nport = {free_port(following=3)}\n{config}")
    return home


def process(home: Path, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        env=environment(home),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )  # type: ignore[call-overload, no-any-return]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose daemon runs in the background, with the scripted model and a tool server that cannot be reached."""
    made = prepared(tmp_path_factory.mktemp("cli") / "home", "[toolsets.gone]\nurl = 'http://127.0.0.1:1'\n")
    started = process(made, "daemon", "start")
    assert started.returncode == 0, started.stderr
    yield made
    process(made, "daemon", "stop")


@pytest.fixture
def away(tmp_path: Path) -> Path:
    """A home without a daemon."""
    return prepared(tmp_path / "away")


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command against the running daemon; exceptions other than exits pass through."""
    monkeypatch.setenv("INFINITY_HOME", str(home))
    monkeypatch.chdir(home)

    def invoke(*arguments: str, **options: object) -> Result:
        return CliRunner().invoke(infinity, arguments, catch_exceptions=False, **options)  # type: ignore[arg-type]

    return invoke
