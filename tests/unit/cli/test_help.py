"""What the command line says about itself, and how fast."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from infinity.cli.main import infinity

COMMANDS = infinity.list_commands(click.Context(infinity))


def test_the_list_of_commands_is_complete() -> None:
    wanted = "chat send threads show tail interrupt stop resume close tools choose doctor trust daemon"
    assert set(wanted.split()) <= set(COMMANDS)


@pytest.mark.parametrize(
    "name",
    [
        *(name for name in COMMANDS if name != "daemon"),
        *(f"daemon {name}" for name in ("run", "start", "status", "stop")),
    ],
)
def test_every_command_explains_itself_with_an_example(name: str) -> None:
    found = CliRunner().invoke(infinity, [*name.split(), "--help"], catch_exceptions=False)
    assert found.exit_code == 0 and found.output.startswith("Usage: ")
    assert "xample" in found.output or "Commands:" in found.output
    assert "--home" in found.output or name not in OURS


OURS = {name for name in COMMANDS if name not in ("demo", "rap", "cloud", "layer")}


def test_the_first_page_names_the_exit_codes() -> None:
    found = CliRunner().invoke(infinity, ["--help"])
    assert "3 no daemon is running" in " ".join(found.output.split())


def test_no_command_is_the_help() -> None:
    found = CliRunner().invoke(infinity, [])
    assert "Usage: " in found.output and found.exit_code in (0, 2)


@pytest.mark.parametrize(
    ("wrong", "meant"), [("thread", "'threads'"), ("deamon", "'daemon'"), ("xyzzy", "--help")]
)
def test_a_command_that_is_not_there_is_answered_with_what_may_have_been_meant(
    wrong: str, meant: str
) -> None:
    found = CliRunner().invoke(infinity, [wrong])
    assert found.exit_code == 2 and meant in found.output


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom infinity.cli.main import main\nsys.argv = ['infinity', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print('HEAVY', sorted({name.partition('.')[0] for name in sys.modules} & {'httpx', 'aiohttp', 'pydantic', 'anthropic', 'asyncio', 'msgspec'}))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in found.stdout
    pairs = [(_seconds(code), _seconds("pass")) for _ in range(5)]
    assert min(help for help, _ in pairs) < 12 * min(bare for _, bare in pairs), (
        "it is 4 times on a quiet machine"
    )


def _seconds(code: str) -> float:
    """Of the processor that a new interpreter takes for it: those do not depend on what else the machine does."""
    counted = "import resource as r, sys; u = r.getrusage(r.RUSAGE_SELF); print(u.ru_utime + u.ru_stime, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{counted}"], capture_output=True, text=True, check=True
    )
    return float(done.stderr.splitlines()[-1])


@pytest.mark.parametrize("module", ["infinity.cli", "infinity.cli.main"])
def test_it_runs_as_a_module(module: str, tmp_path: Path) -> None:
    if module == "infinity.cli":
        found = subprocess.run(
            [sys.executable, "-m", module, "--version"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=True,
        )
        assert found.stdout.startswith("infinity, version ")
