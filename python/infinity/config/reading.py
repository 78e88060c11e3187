"""Reads ``infinity.toml`` and the environment into a ``Config``; every error names the file, the line, the
key and what to write.

Environment: ``INFINITY_<SECTION>_<KEY>`` overrides a key of the sections daemon, agent, limits, timeouts,
retries, policy and log (``INFINITY_DAEMON_PORT=8080``), ``INFINITY_MODEL`` the default model.
``INFINITY_TOOLSETS_<NAME>`` is a whole ``[toolsets.name]`` as an inline table: ``{ url =
"https://tools.example" }``, for addresses that are known only where the agent is deployed.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from infinity.errors import ConfigError, StoreError

from .project import ProjectFile
from .schema import Config

__all__ = ["PROJECT_SECTIONS", "read_config", "read_table"]

_FROM_ENVIRONMENT = (
    "daemon",
    "agent",
    "limits",
    "timeouts",
    "retries",
    "policy",
    "retention",
    "console",
    "log",
    "toolsets",
)
PROJECT_SECTIONS = ("agent", "models", "toolsets", "mcp_servers")
"""What a project's own file may set: nothing that concerns the daemon or consent."""

_PLAIN = (
    ("Input should be", "must be"),
    ("Value should", "must"),
    ("a valid integer", "a whole number"),
    ("a valid number", "a number"),
    ("a valid string", "text in quotes"),
    ("a valid dictionary", "a table"),
    ("a valid tuple", "a list"),
    ("a valid boolean", "true or false"),
)


def read_config(path: Path, environment: Mapping[str, str], project: ProjectFile | None = None) -> Config:
    """Read the home's file, over it a trusted project's, over both the environment.

    Args:
        path: The home's file; absent means the defaults.
        environment: Variables as at the top of this module; others are ignored.
        project: A project's file that the user trusts. It may set ``PROJECT_SECTIONS`` only (S5).

    Raises:
        ConfigError: one line for each thing that is wrong, with file, line and key.
        StoreError: if the file is there and cannot be read; it is never taken for absent (I8).
    """
    table = read_table(path)
    if project is not None:
        table = _with_project(table, path, project)
    origins = _override(table, environment)
    try:
        return Config.model_validate(table)
    except ValidationError as error:
        raise ConfigError(_explain(error, path, origins, project.path if project else None)) from None


def read_table(path: Path) -> dict[str, Any]:
    """The parsed file; empty if there is none.

    Raises:
        ConfigError: if it is not UTF-8, or not TOML.
        StoreError: if it is there and cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    return _parse(path, data)


def _parse(path: Path, data: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def _with_project(table: dict[str, Any], path: Path, project: ProjectFile) -> dict[str, Any]:
    own = _parse(project.path, project.data)
    for section in own:
        if section not in PROJECT_SECTIONS:
            allowed = ", ".join(f"[{name}]" for name in PROJECT_SECTIONS)
            raise ConfigError(
                f"{_at(project.path, (section,))}: a project may set {allowed}; [{section}] belongs in {path}"
            )
    merged = dict(table)
    for section, values in own.items():
        below = merged.get(section)
        merged[section] = (
            {**below, **values} if isinstance(below, dict) and isinstance(values, dict) else values
        )
    for section in ("toolsets", "mcp_servers"):
        servers = own.get(section)
        for server in servers.values() if isinstance(servers, dict) else ():
            if isinstance(server, dict) and "command" in server:
                # Relative to the project, wherever the daemon was started.
                server["cwd"] = str(project.path.parent / str(server.get("cwd", "")))
    return merged


def _override(table: dict[str, Any], environment: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """Put the environment's values into the table; where each came from."""
    origins: dict[tuple[str, ...], str] = {}
    for name, text in environment.items():
        place = _place(name)
        if place is not None:
            section, key = place
            # A section that is not a table is left alone: the validation says so, in its place.
            values = table.setdefault(section, {})
            if isinstance(values, dict):
                values[key] = _value(section, key, text)
                origins[place] = name
    return origins


def _place(name: str) -> tuple[str, str] | None:
    if name == "INFINITY_MODEL":
        return "models", "default"
    section, _, key = name.removeprefix("INFINITY_").lower().partition("_")
    if not name.startswith("INFINITY_") or section not in _FROM_ENVIRONMENT or not key:
        return None
    return section, key


def _value(section: str, key: str, text: str) -> Any:
    """A number where a number is wanted; TOML for lists and tables; else the text itself."""
    field = _fields((section,)).get(key)
    # A setting that may be a text stays one, even if it looks like a number.
    if section != "toolsets" and (field is None or not text or str in _alternatives(field.annotation)):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


# -- errors


def _explain(
    error: ValidationError, path: Path, origins: dict[tuple[str, ...], str], project: Path | None
) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        keys = tuple(str(key) for key in problem["loc"])
        place = origins.get(keys[:2])
        if place is None:
            inside = project is not None and _line(project, keys) is not None and keys[0] in PROJECT_SECTIONS
            place = _at(project if inside and project is not None else path, keys)
        lines.append(f"{place}: {_problem(keys, problem)}")
    return "\n".join(lines)


def _problem(keys: tuple[str, ...], problem: Any) -> str:
    shown = _shown(keys)
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown setting {shown}{_suggestion(keys)}"
    if kind == "value_error":
        return f"{shown} {context['error']}" if keys else str(context["error"])
    field = _fields(keys[:-1]).get(keys[-1]) if keys else None
    example = f"; for example {keys[-1]} = {_toml(field.examples[0])}" if field and field.examples else ""
    # pydantic speaks of "input" and "value"; anyone who reads this edits a file.
    said = problem["msg"]
    for pydantic, plain in _PLAIN:
        said = said.replace(pydantic, plain)
    return f"{shown} is {_given(problem['input'])}, but {_lower(said)}{example}"


def _suggestion(keys: tuple[str, ...]) -> str:
    known = sorted(_fields(keys[:-1]))
    close = difflib.get_close_matches(keys[-1], known, n=1)
    if close:
        return f"; did you mean {_shown((*keys[:-1], close[0]))}?"
    return f"; there are: {', '.join(known)}" if known else ""


def _fields(keys: tuple[str, ...]) -> dict[str, FieldInfo]:
    """The fields of the section at this place; empty where there is none."""
    at: Any = Config
    for key in keys:
        if isinstance(at, type) and issubclass(at, BaseModel):
            field = at.model_fields.get(key)
            at = field.annotation if field else None
        elif get_origin(at) is dict:
            at = get_args(at)[1]
        else:
            return {}
        # ``X | None`` is a field that may be left out, and ``X`` what it holds.
        at = next(option for option in _alternatives(at) if option is not type(None))
    return at.model_fields if isinstance(at, type) and issubclass(at, BaseModel) else {}


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _shown(keys: tuple[str, ...]) -> str:
    if len(keys) <= 1:
        return f"[{keys[0]}]" if keys else "the file"
    table = ".".join(keys[:-1]) if not keys[-1].isdigit() else ".".join(keys[:-2])
    return f"[{table}] {keys[-1] if not keys[-1].isdigit() else f'{keys[-2]}[{keys[-1]}]'}"


def _given(value: Any) -> str:
    text = _toml(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return str(value)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _at(path: Path, keys: tuple[str, ...]) -> str:
    # Only for the text of an error: a line that cannot be found is left out.
    line = _line(path, keys)
    return f"{path}:{line}" if line else str(path)


def _line(path: Path, keys: tuple[str, ...]) -> int | None:
    """Where the key stands, by a plain look at the lines: TOML's parser does not tell."""
    if not keys:
        return None
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return None
    header = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
    section: list[str] = []
    found = None
    for number, line in enumerate(lines, 1):
        if match := header.match(line):
            section = [part.strip().strip("\"'") for part in match[1].split(".")]
            if tuple(section) == keys[: len(section)]:
                found = number
        elif match := re.match(r"\s*[\"']?([^\s\"'=]+)[\"']?\s*=", line):
            place = (*section, *match[1].split("."))
            if place == keys[: len(place)]:
                return number
    return found
