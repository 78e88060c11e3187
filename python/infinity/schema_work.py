"""How much work a JSON Schema makes, counted before any of it is done (B10).

A schema comes from a stranger, is small, and can ask for any amount of work: definitions that refer twice
to the next one double with each level, a schema that applies itself to its own instance never ends, and a
pattern can backtrack or compile to a machine of megabytes. The validator runs in native code that cannot
be interrupted and holds the interpreter, so a time-out in a thread is no bound. Instead:

- when a schema is read, what it applies to one value is counted with references followed, and its patterns are weighed;
- before arguments are checked, an upper bound is taken of what the validator will do with them: the size of the schema, written out in full,
  times the size of the arguments; and for schemas that have no such size because they recurse, a count
  that visits each pair of schema and value once.

Nothing here validates anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

import jsonschema_rs

__all__ = ["PATTERNS", "SchemaWork", "TooMuchWork"]

MAX_EXPANSION = 20_000
"""Subschemas that may apply to one value, references followed."""
MAX_CHAIN = 96
"""References and combinators through which one value may be handed on: the validator recurses on the native
stack."""
MAX_STEPS = 2_000_000
"""Of the validator for one call: a few dozen milliseconds."""
MAX_VISITS = 50_000
"""Of the exact count."""
MAX_DEPTH = 600
"""Levels of schema and value together, for the exact count."""
MAX_PATTERN, MAX_PATTERNS = 20_000, 50_000
"""Weight of one pattern and of all, repetitions written out: a unit is up to a kilobyte of the compiled
machine."""
BACKTRACKING = 5_000
"""Steps that stand for one match of a pattern that can backtrack; ``PATTERNS`` has the limit at which a match
is given up."""
METASCHEMA = 500
"""Subschemas of a reference to a JSON Schema's own schema, which is built into the validator."""

PATTERNS = jsonschema_rs.FancyRegexOptions(backtrack_limit=10_000, size_limit=8 << 20, dfa_size_limit=2 << 20)
"""For the validator: where matching a pattern, or compiling one, is given up."""

_LISTS_HERE = ("allOf", "anyOf", "oneOf")
_ONE_HERE = ("not", "if", "then", "else")
_MAPS_HERE = ("dependentSchemas", "dependencies")
_REFERENCES = ("$ref", "$recursiveRef", "$dynamicRef")
_OF_PROPERTIES = ("additionalProperties", "unevaluatedProperties")
_OF_ITEMS = ("items", "additionalItems", "contains", "unevaluatedItems")
_UNEVALUATED = ("unevaluatedProperties", "unevaluatedItems")
_BACKTRACKS = re.compile(r"\(\?(?:[=!>]|<[=!])|\\[1-9k]|[+*?}]\+")
_REPEATED = re.compile(r"\{(\d{1,9})(?:,(\d{0,9}))?\}")
_ATOM = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_CLASSES = frozenset("\\" + letter for letter in "wWdDsSpP")
_LARGE = 20
"""Weight of a class of characters: most of Unicode is in some."""
_INFINITE = float("inf")
_SCALARS = frozenset({bool, int, float, type(None)})


class TooMuchWork(ValueError):
    """The text says what asks for it."""


class SchemaWork:
    """The work of one schema.

    Args:
        schema: A JSON Schema as a server sent it, in any draft. It must not be changed afterwards: its
            parts are known by their identity.

    Raises:
        TooMuchWork: if it is beyond bounds with any arguments.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._root = schema
        self._anchors: dict[str, list[Any]] = {}
        self._bases: dict[int, str] = {}
        self._index()
        self._here: dict[int, list[Any]] = {}
        self._own: dict[int, int] = {}
        self._check_expansion()
        self._whole = self._size(schema, {}, set(), 0)

    def steps(self, arguments: Mapping[str, Any]) -> int:
        """An upper bound of the validator's steps for these arguments.

        Raises:
            TooMuchWork: beyond ``MAX_STEPS``; the text tells the model what to send less of.
        """
        # Nearly every call ends here: two numbers that are known, and no walk over pairs.
        bound = self._whole * _extent(arguments)
        if bound <= MAX_STEPS:
            return int(bound)
        try:
            found = _Count(self).of(self._root, arguments, 0)
        except RecursionError:
            raise TooMuchWork("they are nested too deeply for the tool's schema") from None
        if found > MAX_STEPS:
            raise TooMuchWork(
                f"the tool's schema asks for more than {MAX_STEPS} steps; send less, or less deeply nested"
            )
        return found

    # the schema's parts

    def _index(self) -> None:
        """Every subschema by its addresses."""
        rest: list[tuple[Any, str]] = [(self._root, "")]
        weight = 0
        while rest:
            item, base = rest.pop()
            if isinstance(item, Mapping):
                if isinstance(item.get("$id"), str):
                    # An ``$id`` changes what references below it are relative to.
                    base = urljoin(base, item["$id"])
                    self._anchors.setdefault(base.rstrip("#"), []).append(item)
                self._bases[id(item)] = base
                for name in ("$anchor", "$dynamicAnchor"):
                    if isinstance(item.get(name), str):
                        self._anchors.setdefault(f"#{item[name]}", []).append(item)
                weight += sum(map(_weight, _patterns(item)))
                rest.extend((value, base) for value in item.values() if isinstance(value, (Mapping, list)))
            else:
                rest.extend((value, base) for value in item if isinstance(value, (Mapping, list)))
        if weight > MAX_PATTERNS:
            raise TooMuchWork("its patterns are too large together")

    def here(self, schema: Mapping[str, Any]) -> list[Any]:
        """What applies to the same value as ``schema`` does."""
        found = self._here.get(id(schema))
        if found is None:
            found = []
            for name in _LISTS_HERE:
                found += _list(schema.get(name))
            found += [schema[name] for name in _ONE_HERE if name in schema]
            for name in _MAPS_HERE:
                found += [each for each in _map(schema.get(name)).values() if isinstance(each, Mapping)]
            for name in _REFERENCES:
                if isinstance(schema.get(name), str):
                    found += self._resolve(schema, name)
            self._here[id(schema)] = found = [each for each in found if isinstance(each, Mapping)]
        return found

    def _resolve(self, schema: Mapping[str, Any], name: str) -> list[Any]:
        """Where a reference leads; several places for a dynamic one. Nowhere: the validator will refuse it,
        or it knows what is meant.
        """
        reference = schema[name]
        address, fragment = urldefrag(urljoin(self._bases.get(id(schema), ""), reference))
        start: list[Any] = [self._root] if not reference.partition("#")[0] and not address else []
        start = start or self._anchors.get(address, [])
        if not reference.partition("#")[0]:
            start = [self._root, *(each for each in start if each is not self._root)]
        if fragment and not fragment.startswith("/"):
            return list(self._anchors.get(f"#{fragment}", []))
        found = [target for target in (_pointed(each, fragment) for each in start) if target is not None]
        return found if name == "$recursiveRef" else found[:1]

    def own(self, schema: Mapping[str, Any]) -> int:
        """Steps of a schema's own keywords with one value, whatever the value is.

        Args:
            schema: A part of the schema that this object was made for.
        """
        steps = self._own.get(id(schema))
        if steps is None:
            steps = 1 + len(schema) + len(_list(schema.get("enum"))) // 4 + len(_list(schema.get("required")))
            steps += sum(BACKTRACKING if _BACKTRACKS.search(each) else 2 for each in _patterns(schema))
            reference = schema.get("$ref")
            if isinstance(reference, str) and not self._resolve(schema, "$ref"):
                steps += METASCHEMA
            self._own[id(schema)] = steps
        return steps

    def _check_expansion(self) -> None:
        known: dict[int, int] = {}
        for each in self._subschemas():
            if self._expansion(each, known, set(), 0) > MAX_EXPANSION:
                raise TooMuchWork(
                    f"with its references followed it applies more than {MAX_EXPANSION} subschemas to one value"
                )

    def _subschemas(self) -> Iterator[Mapping[str, Any]]:
        rest: list[Any] = [self._root]
        while rest:
            item = rest.pop()
            if isinstance(item, Mapping):
                yield item
                rest.extend(value for value in item.values() if isinstance(value, (Mapping, list)))
            else:
                rest.extend(value for value in item if isinstance(value, (Mapping, list)))

    def _expansion(
        self, schema: Mapping[str, Any], known: dict[int, int], above: set[int], level: int
    ) -> int:
        place = id(schema)
        if place in known:
            return known[place]
        # A schema that reaches itself without descending into the value never ends, whatever the value is.
        if place in above:
            raise TooMuchWork("it applies itself to the same value again, without end")
        if level > MAX_CHAIN:
            raise TooMuchWork(
                f"it hands one value on through more than {MAX_CHAIN} references and combinators"
            )
        above.add(place)
        count = 1
        for each in self.here(schema):
            count = min(count + self._expansion(each, known, above, level + 1), MAX_EXPANSION + 1)
        above.remove(place)
        known[place] = count
        return count

    def _size(self, schema: Any, known: dict[int, float], above: set[int], level: int) -> float:
        """Steps of the schema written out in full; infinite if it recurses."""
        if not isinstance(schema, Mapping):
            return 1
        place = id(schema)
        if place in known:
            return known[place]
        # "Unevaluated" asks every neighbour again for each item, which no product of sizes bounds: the exact
        # count decides.
        asks_again = any(name in schema for name in _UNEVALUATED) and bool(self.here(schema))
        if place in above or level > MAX_DEPTH // 2 or asks_again:
            return _INFINITE
        above.add(place)
        count: float = self.own(schema)
        for each in (*self.here(schema), *_inside(schema)):
            count += self._size(each, known, above, level + 1)
            if count > MAX_STEPS:
                count = _INFINITE
                break
        above.remove(place)
        known[place] = count
        return count


class _Count:
    """The exact count: what the validator does with one schema and one value, each pair visited once."""

    def __init__(self, work: SchemaWork) -> None:
        self._work = work
        self._known: dict[tuple[int, int], int] = {}
        self._visits = 0

    def of(self, schema: Any, value: Any, level: int) -> int:
        if not isinstance(schema, Mapping):
            return 1
        # Identities are stable here: both are held by the caller for the whole count.
        pair = (id(schema), id(value))
        known = self._known.get(pair)
        if known is not None:
            return known
        self._visits += 1
        if self._visits > MAX_VISITS:
            raise TooMuchWork("they are too many for the tool's schema; send less")
        if level > MAX_DEPTH:
            raise TooMuchWork("they are nested too deeply for the tool's schema")
        steps = self._work.own(schema) * (1 + (len(value) // 64 if isinstance(value, str) else 0))
        for each in self._work.here(schema):
            steps += self.of(each, value, level + 1)
        if isinstance(value, Mapping):
            steps += self._properties(schema, value, level + 1)
        elif isinstance(value, list):
            steps += self._items(schema, value, level + 1)
        if isinstance(value, (Mapping, list)) and any(name in schema for name in _UNEVALUATED):
            # Whether an item was evaluated is found out by asking everything that may have done it, for each
            # item.
            steps *= 1 + len(value) * len(self._work.here(schema))
        steps = self._known[pair] = min(steps, MAX_STEPS + 1)
        return steps

    def _properties(self, schema: Mapping[str, Any], value: Mapping[str, Any], level: int) -> int:
        named = _map(schema.get("properties"))
        patterns = _map(schema.get("patternProperties"))
        every = [schema[name] for name in _OF_PROPERTIES if name in schema]
        names = schema.get("propertyNames")
        steps = len(value) * (1 + len(patterns))
        for key, item in value.items():
            if key in named:
                steps += self.of(named[key], item, level)
            for each in (*patterns.values(), *every):
                steps += self.of(each, item, level)
            if names is not None:
                steps += self.of(names, key, level)
        return steps

    def _items(self, schema: Mapping[str, Any], value: list[Any], level: int) -> int:
        first = [*_list(schema.get("prefixItems")), *_list(schema.get("items"))]
        every = [schema[name] for name in _OF_ITEMS if isinstance(schema.get(name), (Mapping, bool))]
        steps = len(value) * (8 if schema.get("uniqueItems") is True else 1)
        for place, item in enumerate(value):
            for each in (*first[place : place + 1], *every):
                steps += self.of(each, item, level)
        return steps


def _inside(schema: Mapping[str, Any]) -> list[Any]:
    """What applies to parts of the value."""
    found = [schema[name] for name in (*_OF_PROPERTIES, *_OF_ITEMS, "propertyNames") if name in schema]
    found = [each for each in found if isinstance(each, (Mapping, bool))]
    for name in ("prefixItems", "items"):
        found += _list(schema.get(name))
    for name in ("properties", "patternProperties"):
        found += _map(schema.get(name)).values()
    return found


def _patterns(schema: Mapping[str, Any]) -> list[str]:
    own = [schema["pattern"]] if isinstance(schema.get("pattern"), str) else []
    return own + [name for name in _map(schema.get("patternProperties")) if isinstance(name, str)]


def _weight(pattern: str) -> int:
    """The size of a pattern with its repetitions written out, nested ones multiplied."""
    if len(pattern) > MAX_PATTERN:
        raise TooMuchWork(f"a pattern has {len(pattern)} characters, more than {MAX_PATTERN}")
    groups, atom, place = [0], 0, 0
    while place < len(pattern):
        letter, length = pattern[place], 1
        repeated = _REPEATED.match(pattern, place) if letter == "{" else None
        if repeated is not None:
            least, most = repeated.groups()
            length = repeated.end() - place
            # Never less than once, so that ``{0}`` hides nothing.
            times = max(int(least), int(most or 0), 1)
            groups[-1] += atom * (times - 1)
            atom *= times
        elif letter == "(":
            groups.append(0)
            atom = 0
        elif letter == ")" and len(groups) > 1:
            atom = groups.pop()
            groups[-1] += atom
        else:
            part = _ATOM.match(pattern, place)
            if letter == "[" and part is None:
                break  # It is not a pattern; the validator says so.
            text = part.group() if part is not None else letter
            length = len(text)
            atom = _LARGE if text == "." or text[0] == "[" or text[:2] in _CLASSES else 1
            groups[-1] += atom
        if groups[-1] > MAX_PATTERN:
            raise TooMuchWork(
                f"the pattern {pattern[:60]!r} is too large when its repetitions are written out"
            )
        place += length
    return sum(groups)


def _extent(value: Any) -> int:
    """How many values there are in the arguments; long texts count as several."""
    count, rest = 0, [value]
    while rest:
        item = rest.pop()
        count += 1
        # Exact types first, because nearly all values are of these, and ``isinstance`` against abstract types
        # is slow.
        kind = type(item)
        if kind is str:
            count += len(item) // 64
        elif kind in _SCALARS:
            pass
        elif isinstance(item, list):
            rest.extend(item)
        elif kind is dict or isinstance(item, Mapping):
            rest.extend(item.values())
            count += len(item)
        elif isinstance(item, str):
            count += len(item) // 64
    return count


def _pointed(schema: Any, pointer: str) -> Any:
    for step in unquote(pointer).split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(schema, Mapping):
            schema = schema.get(key)
        elif isinstance(schema, list) and key.isascii() and key.isdigit() and int(key) < len(schema):
            schema = schema[int(key)]
        else:
            return None
    return schema


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
