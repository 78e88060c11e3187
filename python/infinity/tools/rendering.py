"""A tool's schema in the form that every model API takes (DESIGN 5.7), and the model's arguments back under
the tool's own names.

Servers write whatever JSON Schema allows. Model APIs take less, and refuse the whole request for one tool:
the root must be an object without ``anyOf``, ``oneOf``, ``allOf``, ``not`` or ``enum``; property names
match ``^[a-zA-Z0-9_.-]{1,64}$``; the dialect is 2020-12; OpenAI wants ``properties`` and ``items`` spelled
out. What is rendered is at most more permissive than the real schema, which checks the arguments in any
case.

One form serves all dialects, so that a thread can change its model without changing what history says of
its calls. It is made once per catalog and depends on nothing but the schema, so that the prompt cache
holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jsonschema_rs

from infinity.errors import ToolsetError

PROPERTY_NAME = re.compile(r"^[a-zA-Z0-9_.-]{1,64}$")
_UNFIT = re.compile(r"[^a-zA-Z0-9_.-]")
_LONGEST = 64
_MOST_STEPS = 2_000
"""Alternatives that are looked into. References multiply: forty lines can mean a million million."""
_MOST_WORK = 200_000
_DEEPEST = 128
_LONGEST_NOTE = 600

Schema = dict[str, Any]

_ONE = ("additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then")
_ONE_MORE = ("contentSchema", "unevaluatedItems", "unevaluatedProperties")
_MANY = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties")
_NOT_AT_THE_ROOT = frozenset({"$ref", "allOf", "anyOf", "const", "enum", "not", "oneOf"})


class Rendered(NamedTuple):
    """A schema as models get it, and the way back from their names to the tool's."""

    schema: Schema
    names: Names | None
    """``None`` if all property names are as they were."""


def render(schema: Mapping[str, Any]) -> Rendered:
    """Put a schema into the form that every model API takes.

    Args:
        schema: As the server sent it. It is not changed.

    Raises:
        ToolsetError: if it cannot be put into such a form; the tool is left out.
    """
    document = dict(schema)
    try:
        aliases = _aliases(document)
        made = _Rendering(document, aliases).whole()
    except RecursionError as error:
        raise ToolsetError("its schema is nested too deeply", "DISC-2") from error
    # A schema that came through untouched is checked where it is compiled (``ArgumentSchema``).
    if made != document:
        _check(made)
    return Rendered(made, Names(document, aliases) if aliases else None)


def _check(schema: Schema) -> None:
    try:
        jsonschema_rs.meta.validate(schema)
    except jsonschema_rs.ValidationError as error:
        raise ToolsetError(
            f"its schema has no form that is JSON Schema 2020-12: {error.message[:200]}", "DISC-2"
        ) from error
    except ValueError as error:
        raise ToolsetError(
            f"its schema has no form that models take: {str(error)[:200]}", "DISC-2"
        ) from error


# names


def _aliases(document: Schema) -> dict[str, str]:
    """For each property name that no API takes another one, unlike every name in the document."""
    names = dict.fromkeys(name for schema in _schemas(document) for name in _names_of(schema))
    # No alias may be another property's own name, or the way back would be ambiguous.
    taken = {name for name in names if PROPERTY_NAME.match(name)}
    aliases: dict[str, str] = {}
    for name in names:
        if name in taken:
            continue
        plain = alias = _UNFIT.sub("_", name)[:_LONGEST] or "_"
        number = 1
        while alias in taken:
            number += 1
            alias = f"{plain[: _LONGEST - 7]}_{number}"
        taken.add(alias)
        aliases[name] = alias
    return aliases


def _names_of(schema: Schema) -> Iterator[str]:
    for keyword in ("properties", "dependentRequired", "dependentSchemas", "dependencies"):
        if isinstance(named := schema.get(keyword), dict):
            yield from named
    for list_ in (
        schema.get("required"),
        *_values(schema.get("dependentRequired")),
        *_values(schema.get("dependencies")),
    ):
        if isinstance(list_, list):
            yield from (name for name in list_ if isinstance(name, str))


def _values(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else ()


def _schemas(schema: Any) -> Iterator[Schema]:
    """This schema and all that stand in it; what is data (``const``, ``enum``, ``default``) is none."""
    stack = [schema]
    while stack:
        each = stack.pop()
        if not isinstance(each, dict):
            continue
        yield each
        children = list(_children(each))
        stack.extend(reversed(children))


def _children(schema: Schema) -> Iterator[Any]:
    for keyword, value in schema.items():
        if keyword in _ONE or keyword in _ONE_MORE or keyword == "additionalItems":
            yield from value if isinstance(value, list) else (value,)
        elif keyword in _MANY and isinstance(value, list):
            yield from value
        elif (keyword in _NAMED or keyword == "dependencies") and isinstance(value, dict):
            yield from value.values()


class Names:
    """From the names that the model was given to those of the tool, wherever the schema puts them."""

    def __init__(self, document: Schema, aliases: Mapping[str, str]) -> None:
        self._document = document
        self._aliases = aliases

    def real(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Arguments under the tool's own names. Names that are the tool's own already stay.

        Args:
            arguments: As the model sent them. Past a bound of work, names stay as they are (I15).
        """
        found: dict[str, Any] = _Renaming(self._document, self._aliases).value(arguments, [self._document], 0)
        return found


class _Renaming:
    """One walk over arguments and the schemas that speak of each place in them. Bounded: past the bound,
    names stay as they are.
    """

    def __init__(self, document: Schema, aliases: Mapping[str, str]) -> None:
        self._document = document
        self._aliases = aliases
        self._work = 0

    def value(self, value: Any, schemas: list[Any], depth: int) -> Any:
        if not isinstance(value, dict | list) or depth > _DEEPEST or self._work > _MOST_WORK:
            return value
        applied = self._applied(schemas)
        if isinstance(value, list):
            return [
                self.value(item, _of_items(applied, index), depth + 1) for index, item in enumerate(value)
            ]
        declared = {name for schema in applied for name in _dict(schema.get("properties"))}
        by_alias: dict[str, str] = {self._aliases[name]: name for name in declared if name in self._aliases}
        renamed = {}
        for key, item in value.items():
            known = by_alias.get(key, key)
            # Where the tool's own name is there as well, this one stays as the model wrote it.
            name = str(key if known in value else known)
            renamed[name] = self.value(item, _of_property(applied, name), depth + 1)
        return renamed

    def _applied(self, schemas: list[Any]) -> list[Schema]:
        """The schemas and all that they refer to for the same place."""
        found: dict[int, Schema] = {}
        stack = [*schemas]
        while stack and self._work <= _MOST_WORK:
            self._work += 1
            schema = stack.pop()
            if not isinstance(schema, dict) or id(schema) in found:
                continue
            found[id(schema)] = schema
            for keyword in ("allOf", "anyOf", "oneOf"):
                stack += _list(schema.get(keyword))
            stack += [schema.get(keyword) for keyword in ("if", "then", "else")]
            stack += _dict(schema.get("dependentSchemas")).values()
            if isinstance(reference := schema.get("$ref"), str):
                stack.append(_find(self._document, reference))
        return [*found.values()]


def _of_property(schemas: list[Schema], name: str) -> list[Any]:
    found = [
        properties[name] for schema in schemas if name in (properties := _dict(schema.get("properties")))
    ]
    if not found:
        found = [schema.get("additionalProperties") for schema in schemas]
        for schema in schemas:
            found += _dict(schema.get("patternProperties")).values()
    return found


def _of_items(schemas: list[Schema], index: int) -> list[Any]:
    found: list[Any] = []
    for schema in schemas:
        first = schema["items"] if isinstance(schema.get("items"), list) else _list(schema.get("prefixItems"))
        if index < len(first):
            found.append(first[index])
        else:
            found += [schema.get("items"), schema.get("additionalItems")]
        found.append(schema.get("contains"))
    return found


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _find(document: Schema, reference: str) -> Any:
    """What a reference within the document names; ``None`` if nothing."""
    if reference.startswith("#/"):
        return _at(document, reference)
    if reference == "#":
        return document
    for schema in _schemas(document):
        anchors = (schema.get("$anchor"), schema.get("$dynamicAnchor"))
        if reference in (schema.get("$id"), *(f"#{anchor}" for anchor in anchors if anchor)):
            return schema
    return None


def _at(document: Any, pointer: str) -> Any:
    from urllib.parse import unquote

    for step in pointer[2:].split("/"):
        step = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(document, list) and step.isdecimal() and int(step) < len(document):
            document = document[int(step)]
        elif isinstance(document, dict) and step in document:
            document = document[step]
        else:
            return None
    return document


# the form


class _Object:
    """What a schema says of an object at the root: its properties, and which must be there."""

    __slots__ = ("notes", "properties", "required", "rest")

    def __init__(self, properties: Mapping[str, Any], required: Iterable[str], rest: Schema) -> None:
        self.properties = dict(properties)
        self.required = list(dict.fromkeys(required))
        self.rest = rest
        """Other keywords that may stand at the root."""
        self.notes: list[str] = []

    def add(self, other: _Object) -> None:
        """Both hold."""
        for name, schema in other.properties.items():
            mine = self.properties.setdefault(name, schema)
            if mine != schema:
                # Said twice, both must hold; a model API takes ``allOf`` inside of a property.
                self.properties[name] = {"allOf": [mine, schema]}
        self.required = list(dict.fromkeys([*self.required, *other.required]))
        self.notes += other.notes
        for keyword, value in other.rest.items():
            self.rest.setdefault(keyword, value)


class _Rendering:
    """One schema on its way. ``_moved``: what references name that does not stay where it was, as a
    definition of its own.
    """

    def __init__(self, document: Schema, aliases: Mapping[str, str]) -> None:
        self._document = document
        self._aliases = aliases
        self._steps = 0
        self._moved: dict[str, str] = {}
        self._definitions: dict[str, Any] = {}

    def whole(self) -> Schema:
        document = self._document
        types = document.get("type", "object")
        if types != "object" or _NOT_AT_THE_ROOT & document.keys():
            document = self._flattened()
        made: Schema = self._schema(document)
        if "type" not in made:
            made = {"type": "object", **made}
        if "properties" not in made:
            made["properties"] = {}
        if self._definitions:
            made["$defs"] = {**_dict(made.get("$defs")), **self._definitions}
        return made

    def _flattened(self) -> Schema:
        """The root without what no API takes there."""
        found = self._object(self._document, ())
        if found is None:
            raise ToolsetError("its schema takes no object, and arguments are always one", "DISC-2")
        made: Schema = {"type": "object", **found.rest, "properties": found.properties}
        if found.required:
            made["required"] = found.required
        if found.notes:
            note = " ".join(found.notes)[:_LONGEST_NOTE]
            made["description"] = f"{made.get('description') or ''}\n{note}".strip()
        return made

    def _object(self, schema: Any, chain: tuple[str, ...]) -> _Object | None:
        """``None`` if no object fits."""
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise ToolsetError("its schema has too many alternatives at its root", "DISC-2")
        if schema is True:
            return _Object({}, (), {})
        if not isinstance(schema, dict) or not _takes_objects(schema):
            return None
        rest = {
            keyword: value
            for keyword, value in schema.items()
            if keyword not in _NOT_AT_THE_ROOT and keyword not in ("type", "properties", "required")
        }
        if chain:
            # Of what is only a part, what holds for the whole.
            rest = {
                keyword: rest[keyword]
                for keyword in ("description", "additionalProperties")
                if keyword in rest
            }
        made = _Object(_dict(schema.get("properties")), _texts(schema.get("required")), rest)
        for part in self._parts(schema, chain):
            if part is None:
                return None
            made.add(part)
        return made

    def _parts(self, schema: Schema, chain: tuple[str, ...]) -> Iterator[_Object | None]:
        reference = schema.get("$ref")
        if isinstance(reference, str) and reference not in chain and reference != "#":
            target = _find(self._document, reference)
            if target is None:
                raise ToolsetError(f"its schema refers to {reference[:100]!r}, which is not in it", "DISC-2")
            yield self._object(target, (*chain, reference))
        for part in _list(schema.get("allOf")):
            made = self._object(part, (*chain, ""))
            if made is not None and _list(schema.get("allOf")) != [part]:
                made.rest.pop("additionalProperties", None)
            yield made
        for keyword in ("anyOf", "oneOf"):
            if options := _list(schema.get(keyword)):
                fitting = [
                    each for option in options if (each := self._object(option, (*chain, ""))) is not None
                ]
                yield self._either(fitting, keyword) if fitting else None

    def _either(self, options: list[_Object], keyword: str) -> _Object:
        if len(options) == 1:
            return options[0]
        merged: dict[str, list[Any]] = {}
        for option in options:
            for name, schema in option.properties.items():
                known = merged.setdefault(name, [])
                if schema not in known:
                    known.append(schema)
        properties = {
            name: schemas[0] if len(schemas) == 1 else {"anyOf": schemas} for name, schemas in merged.items()
        }
        # Required is only what every alternative requires: what is rendered may allow more than the schema,
        # never less.
        always = [name for name in options[0].required if all(name in each.required for each in options)]
        made = _Object(properties, always, {})
        sets = list(
            dict.fromkeys(
                tuple(self._alias(name) for name in each.required if name not in always) for each in options
            )
        )
        if len(sets) > 1:
            how = "exactly one" if keyword == "oneOf" else "at least one"
            made.notes = [
                f"Give {how} of: {'; '.join(' and '.join(each) or 'none of these' for each in sets)}."
            ]
        return made

    def _alias(self, name: str) -> str:
        return self._aliases.get(name, name)

    def _schema(self, schema: Any) -> Any:
        """A schema of any place. What is not touched keeps its order, so that an ordinary schema is sent as
        it came.
        """
        if schema is True:
            return {}
        if schema is False:
            return {"not": {}}
        if not isinstance(schema, dict):
            return schema
        made = {}
        for keyword, value in schema.items():
            for name, rendered in self._keyword(keyword, value, schema):
                made[name] = rendered
        types = schema.get("type")
        if (types == "array" or "array" in _list(types)) and not {"items", "prefixItems"} & made.keys():
            made["items"] = {}
        return made

    def _keyword(self, keyword: str, value: Any, schema: Schema) -> Iterator[tuple[str, Any]]:
        match keyword:
            case "properties" | "dependentSchemas" if isinstance(value, dict):
                yield keyword, {self._alias(name): self._schema(each) for name, each in value.items()}
            case "$defs" | "definitions" | "patternProperties" if isinstance(value, dict):
                yield keyword, {name: self._schema(each) for name, each in value.items()}
            case "required":
                # A boolean is draft 3's.
                if isinstance(value, list):
                    yield keyword, [self._alias(name) for name in _texts(value)]
            case "dependentRequired" | "dependencies" if isinstance(value, dict):
                yield keyword, {self._alias(name): self._dependency(each) for name, each in value.items()}
            case "items" if isinstance(value, list):
                yield "prefixItems", [self._schema(each) for each in value]
                if isinstance(more := schema.get("additionalItems"), dict | bool):
                    yield "items", more if isinstance(more, bool) else self._schema(more)
            case "additionalItems" if isinstance(schema.get("items"), list):
                return
            case "exclusiveMinimum" | "exclusiveMaximum" if isinstance(value, bool):
                # Draft 4: a mark on the limit beside it.
                limit = schema.get(keyword[9:].lower())
                if value and isinstance(limit, int | float):
                    yield keyword, limit
            case "$ref" if isinstance(value, str):
                yield keyword, self._reference(value)
            case "$schema" | "$id" | "$anchor" | "$dynamicAnchor" | "$vocabulary":
                return
            case _ if keyword in _MANY and isinstance(value, list):
                yield keyword, [self._schema(each) for each in value]
            case _ if (keyword in _ONE or keyword in _ONE_MORE) and isinstance(value, dict):
                yield keyword, self._schema(value)
            case _:
                yield keyword, value

    def _dependency(self, value: Any) -> Any:
        return (
            [self._alias(name) for name in _texts(value)] if isinstance(value, list) else self._schema(value)
        )

    def _reference(self, reference: str) -> str:
        """Where the target is in what is rendered: definitions stay, everything else becomes one."""
        parts = reference.split("/")
        if reference == "#" or (parts[0] == "#" and len(parts) == 3 and parts[1] in ("$defs", "definitions")):
            return reference
        if reference not in self._moved:
            target = _find(self._document, reference)
            if target is None:
                raise ToolsetError(f"its schema refers to {reference[:100]!r}, which is not in it", "DISC-2")
            taken = {*_dict(self._document.get("$defs")), *self._definitions}
            name = next(name for n in range(len(taken) + 1) if (name := f"part_{n + 1}") not in taken)
            self._moved[reference] = f"#/$defs/{name}"
            # The name is taken before the target is rendered: the target may refer to itself.
            self._definitions[name] = {}
            self._definitions[name] = self._schema(target)
        return self._moved[reference]


def _takes_objects(schema: Schema) -> bool:
    types = schema.get("type", "object")
    if types != "object" and "object" not in _list(types):
        return False
    if "const" in schema and not isinstance(schema["const"], dict):
        return False
    return "enum" not in schema or any(isinstance(value, dict) for value in _list(schema["enum"]))


def _texts(value: Any) -> list[str]:
    return [each for each in _list(value) if isinstance(each, str)]
