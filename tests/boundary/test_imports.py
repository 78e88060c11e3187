"""What import-linter cannot see: who names the Rust core, what ``__init__`` files hold, what an import costs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "python" / "infinity"
MODULES = sorted(PACKAGE.rglob("*.py"))
# Those that handle its messages and calls. The vocabulary, the models, the agent's description and the CLI do without.
MAY_NAME_THE_CORE = {"abc", "cloud", "engine", "local", "mcp", "stores", "testing"}
MAY_NAME_THE_CORE |= {
    "all_events",
    "api",
    "explanation",
    "feed",
    "rap",
    "removed_servers",
    "runtime",
    "tools",
    "toolsets",
}
HEAVY = {"aiohttp", "anthropic", "boto3", "botocore", "click", "httpx", "mcp", "openai", "pydantic"}


def imports(module: Path) -> Iterator[str]:
    """Every module that this one imports, absolute, as ``package.module.name`` for ``from`` imports."""
    parts = ["infinity", *module.relative_to(PACKAGE).with_suffix("").parts]
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = parts[: len(parts) - node.level] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{source}.{alias.name}" for alias in node.names)


def named(module: Path) -> str:
    return str(module.relative_to(PACKAGE.parent))


def test_vocabulary_models_and_cli_do_not_name_the_core() -> None:
    offenders = {
        named(module)
        for module in MODULES
        if any(name.split(".")[:2] == ["infinity", "_core"] for name in imports(module))
        and module.relative_to(PACKAGE).parts[0].removesuffix(".py") not in MAY_NAME_THE_CORE
    }
    assert not offenders


def test_nobody_inside_imports_the_package_root() -> None:
    def from_root(name: str) -> bool:
        first, _, rest = name.partition(".")
        target = PACKAGE / rest.replace(".", "/")
        inside = target.with_suffix(".py").exists() or target.is_dir() or rest.startswith("_core")
        return first == "infinity" and (not rest or ("." not in rest and not inside))

    offenders = {named(module): name for module in MODULES for name in imports(module) if from_root(name)}
    assert not offenders


@pytest.mark.parametrize("module", [m for m in MODULES if m.name == "__init__.py"], ids=named)
def test_an_init_file_holds_names_only(module: Path) -> None:
    for node in ast.parse(module.read_text()).body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        names = isinstance(node, ast.Assign | ast.AnnAssign)
        lazy = isinstance(node, ast.FunctionDef) and node.name in ("__getattr__", "__dir__")
        typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        allowed = docstring or names or lazy or typing or isinstance(node, ast.Import | ast.ImportFrom)
        assert allowed, f"{named(module)}:{node.lineno} does more than name things"


@pytest.mark.parametrize("name", ["infinity", "infinity.errors", "infinity.abc"])
def test_importing_pulls_in_nothing_heavy(name: str) -> None:
    probe = f"import {name}, json, sys; print(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=True
    )
    assert not HEAVY.intersection(json.loads(ran.stdout))


def test_every_public_name_can_be_imported() -> None:
    probe = "import infinity; print(*(getattr(infinity, name).__name__ for name in infinity.__all__))"
    ran = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
