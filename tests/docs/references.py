"""docs/reference/, made from the sources: ``python -m tests.docs.references`` writes the pages, a test keeps them current."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import types
from collections.abc import Callable, Iterator
from dataclasses import MISSING, is_dataclass
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import click
import msgspec

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
_MADE = "This page is made from the sources by `python -m tests.docs.references`."


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


_SECTION = re.compile(r"^(Args|Raises|Returns):\n((?: {4}.*(?:\n|\Z))+)", re.MULTILINE)
_HEADINGS = {"Args": "Arguments", "Raises": "Errors", "Returns": "Returned"}


def prose(text: str) -> str:
    """A docstring as Markdown, its sections as lists."""
    text = _SECTION.sub(_listed, inspect.cleandoc(text))
    return re.sub(r"``([^`]*)``", r"`\1`", text).strip()


def _listed(section: re.Match[str]) -> str:
    heading, body = section.groups()
    words = " ".join(body.split()) if heading == "Returns" else ""
    items = re.sub(r"^ {4}(\**\w+):", r"- `\1`:", body, flags=re.MULTILINE)
    listed = re.sub(r"\n {8}", " ", items)
    return f"{_HEADINGS[heading]}: {words}\n" if words else f"{_HEADINGS[heading]}:\n\n{listed}"


def line(text: str) -> str:
    return " ".join(prose(text).split())


def attribute_docs(kind: type[Any]) -> dict[str, str]:
    """The strings below the attributes of a class, by attribute."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for first, second in zip(body.body, body.body[1:], strict=False):
        if not (isinstance(first, ast.AnnAssign) and isinstance(first.target, ast.Name)):
            continue
        if isinstance(second, ast.Expr) and isinstance(second.value, ast.Constant):
            found[first.target.id] = str(second.value.value)
    return found


# -- infinity.toml

_UNITS = {
    "_bytes": "bytes",
    "_chars": "characters",
    "_tokens": "tokens",
    "_dollars": "dollars",
    "_days": "days",
    "_timeout": "seconds",
    "_share": "share",
    "compact_above": "share",
    "short_wait": "seconds",
    "dispatch_first": "seconds",
    "dispatch_longest": "seconds",
    "pace": "seconds",
}


def settings_page() -> str:
    from infinity import settings
    from infinity.config import schema
    from infinity.models import settings as models

    parts = [
        "# infinity.toml\n",
        f"Every key, with its type, default and unit. {_MADE}\n",
        "A variable `INFINITY_<SECTION>_<KEY>` wins over the file. Keep secrets out of the file: it names the environment variables that hold them.\n",
    ]
    for name, kind, source in (
        ("daemon", schema.DaemonConfig, None),
        ("agent", schema.AgentConfig, None),
        ("toolsets.NAME", schema.ToolsetConfig, None),
        ("mcp_servers.NAME", schema.McpServerConfig, None),
        ("limits", schema.LimitsConfig, settings.Limits),
        ("timeouts", schema.TimeoutsConfig, settings.Timeouts),
        ("retries", schema.RetriesConfig, settings.Retries),
        ("retention", schema.RetentionConfig, settings.Retention),
        ("policy", schema.PolicyConfig, None),
        ("console", schema.ConsoleConfig, None),
        ("log", schema.LogConfig, None),
    ):
        about = attribute_docs(source or kind)
        rows = [
            (key, field.annotation, field.get_default(call_default_factory=True), about.get(key, ""))
            for key, field in kind.model_fields.items()
        ]
        parts.append(_section(name, (source or kind).__doc__ or "", rows))
    for name, struct in (
        ("models", models.ModelsSection),
        ("models.named.NAME", models.Named),
        ("models.providers.anthropic", models.AnthropicSettings),
        ("models.providers.openai", models.OpenAISettings),
        ("models.providers.bedrock", models.BedrockSettings),
        ("models.providers.scripted", models.ScriptedSettings),
    ):
        about = attribute_docs(struct)
        hints = get_type_hints(struct, include_extras=False)
        defaults = {field.name: field.default for field in msgspec.structs.fields(struct)}
        made = {
            field.name: field.default_factory()
            for field in msgspec.structs.fields(struct)
            if callable(field.default_factory)
        }
        rows = [
            (key, hints[key], made.get(key, default), about.get(key, "")) for key, default in defaults.items()
        ]
        parts.append(_section(name, struct.__doc__ or "", rows))
    return "\n".join(parts)


def _section(name: str, about: str, rows: list[tuple[str, Any, Any, str]]) -> str:
    missing = [key for key, _, _, meaning in rows if not meaning]
    assert not missing, f"[{name}] {', '.join(missing)}: no meaning; write a string below the attribute"
    cells = [
        (f"`{key}`", shown_type(kind), shown_default(default), _unit(name, key), line(meaning))
        for key, kind, default, meaning in rows
    ]
    return f"## [{name}]\n\n{line(about)}\n\n{table(('key', 'type', 'default', 'unit', 'meaning'), cells)}"


def _unit(section: str, key: str) -> str:
    if section == "timeouts":
        return "seconds"
    return next((unit for end, unit in _UNITS.items() if key.endswith(end)), "")


def shown_type(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return ", ".join(f"`{value!r}`".replace("'", '"') for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(shown_type(each) for each in inner if each is not type(None))
    if origin is not None and hasattr(kind, "__metadata__"):
        return shown_type(inner[0])
    plain = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
        tuple: "list",
        dict: "table",
    }
    return plain.get(origin or kind, "table" if isinstance(kind, type) else "any")


def shown_default(value: Any) -> str:
    if value is MISSING or value is msgspec.NODEFAULT or type(value).__name__ == "PydanticUndefinedType":
        return "required"
    if value is None or value in ("", (), {}):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value:,}`".replace(",", "_")


# -- the command line


def commands_page() -> str:
    from infinity.cli.main import infinity

    parts = ["# The command line\n", f"Every command of `infinity`, as `--help` has it. {_MADE}\n"]
    parts.append(f"{infinity.epilog}\n")
    for path, command in _commands("infinity", infinity, click.Context(infinity, info_name="infinity")):
        context = click.Context(command, info_name=path)
        parts.append(f"## {path}\n\n`{path} {' '.join(command.collect_usage_pieces(context))}`\n")
        parts.append(_help(command.help or command.short_help or "") + "\n")
        options = [
            record
            for parameter in command.get_params(context)
            if isinstance(parameter, click.Option)
            and (record := parameter.get_help_record(context)) is not None
            and "--help" not in record[0]
        ]
        if options:
            parts.append(table(("option", "meaning"), [(f"`{name}`", line(text)) for name, text in options]))
    return "\n".join(parts)


def _commands(
    path: str, command: click.Command, context: click.Context
) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        if not found.hidden:
            yield from _commands(f"{path} {name}", found, click.Context(found, context, name))


def _help(text: str) -> str:
    paragraphs = prose(text).split("\n\n")
    return "\n\n".join(
        f"```text\n{each.removeprefix(chr(8)).strip()}\n```"
        if each.startswith("\b")
        else " ".join(each.split())
        for each in paragraphs
    )


# -- Python


def python_page() -> str:
    import infinity
    from infinity import rap, testing

    parts = ["# The Python API\n", f"The public names of three packages. {_MADE}\n"]
    for module in (infinity, rap, testing):
        parts.append(f"## {module.__name__}\n")
        parts += [_name(name, getattr(module, name)) for name in sorted(module.__all__)]
    return "\n".join(parts)


def _name(name: str, value: Any) -> str:
    kind = "class " if inspect.isclass(value) else ""
    head = f"{kind}{name}" if is_dataclass(value) else f"{kind}{name}{_signature(value)}"
    about = value.__doc__ if value.__doc__ and not value.__doc__.startswith(f"{name}(") else ""
    assert about, f"{name} has no docstring"
    parts = [f"### {name}\n", _code(head), prose(about) + "\n"]
    if is_dataclass(value):
        docs = attribute_docs(value) if inspect.isclass(value) else {}
        rows = [
            (f"`{each.name}`", shown_default(each.default), line(docs[each.name]))
            for each in dataclass_fields(value)
            if each.name in docs
        ]
        parts.append(table(("attribute", "default", "meaning"), rows) if rows else "")
    for method, member in _members(value).items():
        text = inspect.getdoc(member) or ""
        shown = method if isinstance(member, property) else f"{_prefix(member)}{method}{_signature(member)}"
        parts.append(_code(shown) + (f"\n{prose(text)}\n" if text else ""))
    return "\n".join(parts)


def _members(value: Any) -> dict[str, Any]:
    """Public methods and properties, those of the package's own base classes included."""
    found: dict[str, Any] = {}
    for kind in reversed(value.__mro__) if inspect.isclass(value) else ():
        for name, member in vars(kind).items():
            member = getattr(member, "__func__", member)
            ours = kind.__module__.startswith("infinity") and not name.startswith("_")
            if ours and (inspect.isfunction(member) or isinstance(member, property)):
                found[name] = member
    return found


def _prefix(function: Callable[..., Any]) -> str:
    return "async " if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function) else ""


def _signature(value: Any) -> str:
    bases = value.__mro__ if inspect.isclass(value) else ()
    if bases and not any(
        "__init__" in vars(kind) for kind in bases if kind.__module__.startswith("infinity")
    ):
        return ""
    signature = inspect.signature(value)
    shown: list[str] = []
    for name, each in signature.parameters.items():
        if (
            each.kind is each.KEYWORD_ONLY
            and "*" not in shown
            and not any(one.startswith("*") for one in shown)
        ):
            shown.append("*")
        stars = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
        kind = "" if each.annotation is each.empty else f": {_annotation(each.annotation)}"
        default = "" if each.default is each.empty else f" = {_default(each.default)}"
        shown += [] if name in ("self", "cls") or name.startswith("_") else [f"{stars}{name}{kind}{default}"]
    returned = signature.return_annotation
    end = "" if returned in (signature.empty, None, "None") else f" -> {_annotation(returned)}"
    flat = f"({', '.join(shown)}){end}"
    return flat if len(flat) < 100 else "(\n" + "".join(f"    {each},\n" for each in shown) + f"){end}"


def _annotation(kind: Any) -> str:
    return kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))


def _default(value: Any) -> str:
    plain = value is None or isinstance(value, bool | int | float | str | tuple)
    return repr(value).replace("'", '"') if plain else "…"


def _code(text: str) -> str:
    return f"```text\n{text}\n```\n"


# -- HTTP


def http_page() -> str:
    from infinity.api.backend import Part
    from infinity.api.openapi import describe
    from infinity.api.routes import ROUTES

    document = describe(ROUTES, "")
    names = {Part.DAEMON: "the daemon", Part.API: "the API on AWS", Part.RECEIVER: "the receiver on AWS"}
    parts = [
        "# The HTTP API\n",
        f"The requests that the daemon and the functions on AWS answer. `GET /openapi.json` has the same for programs. {_MADE}\n",
        'A refusal is `{"error": {"code": …, "message": …}}`. After a 4xx, do not repeat the request as it is; after a 5xx, try again later.\n',
    ]
    for route in filter(lambda each: each.described, ROUTES):
        hosts = ", ".join(name for part, name in names.items() if part in route.parts)
        operation = document["paths"][route.path][route.method.lower()]
        parts += [f"## {route.method} {route.path}\n", f"{route.summary}. Served by: {hosts}.\n"]
        body = operation.get("requestBody")
        if body is not None:
            parts.append(f"Body: {_content(body)}{'' if body['required'] else ', optional'}.\n")
        rows = [
            (f"`{each['name']}`", each["in"], line(each.get("description", "")))
            for each in operation.get("parameters", ())
        ]
        parts.append(table(("parameter", "in", "meaning"), rows) if rows else "")
        responses = [
            (code, line(found["description"]), _content(found))
            for code, found in operation["responses"].items()
            if code != "default"
        ]
        parts.append(table(("status", "meaning", "body"), responses))
    parts.append("## Bodies\n")
    for name, schema in sorted(document["components"]["schemas"].items()):
        required = schema.get("required", ())
        rows = [
            (f"`{member}`", _json_type(found), "yes" if member in required else "")
            for member, found in schema.get("properties", {}).items()
        ]
        parts.append(f"### {name}\n\n{line(schema.get('description', ''))}\n")
        parts.append(table(("member", "type", "always there"), rows) if rows else "")
    return "\n".join(each for each in parts if each)


def _content(found: dict[str, Any]) -> str:
    for kind, content in found.get("content", {}).items():
        shape = _json_type(content.get("schema", {}))
        return shape if shape.startswith("[") else f"`{kind}`"
    return ""


def _json_type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = str(schema["$ref"].rpartition("/")[2])
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_json_type(each) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_json_type(schema.get('items') or {})}"
    return str(schema.get("type", "any"))


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "cli.md": commands_page,
    "python.md": python_page,
    "http.md": http_page,
}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, made in PAGES.items():
        (FOLDER / name).write_text(made())
