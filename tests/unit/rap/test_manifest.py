"""A toolset is taken whole or refused whole, and a refusal says where and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from infinity.errors import ToolsetError
from infinity.rap.manifest import Tool, Toolset, parse_manifest

BASE = "http://tools.example:8801"

GOOD: dict[str, Any] = {
    "name": "github-tools",
    "description": "What GitHub knows.",
    "endpoint": f"{BASE}/invoke",
    "needsMigration": True,
    "tools": [
        {
            "name": "get_pr",
            "description": "Fetch a pull request.",
            "inputSchema": {"type": "object", "properties": {"number": {"type": "integer"}}},
            "annotations": {"readOnly": True, "requiresAuth": "github", "x-cost": 3},
            "displayScript": '"PR #" + args.number',
        },
        {"name": "list_prs", "description": "List them.", "inputSchema": {"type": "object"}},
    ],
}


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"x": schema}}
    return schema


def parse(manifest: Any) -> Toolset:
    return parse_manifest(json.dumps(manifest).encode(), BASE)


def test_a_good_manifest_gives_the_whole_toolset() -> None:
    assert parse(GOOD) == Toolset(
        name="github-tools",
        description="What GitHub knows.",
        base_url=BASE,
        endpoint=f"{BASE}/invoke",
        needs_migration=True,
        tools=(
            Tool(
                name="get_pr",
                description="Fetch a pull request.",
                input_schema={"type": "object", "properties": {"number": {"type": "integer"}}},
                annotations={"readOnly": True, "requiresAuth": "github", "x-cost": 3},
                display_script='"PR #" + args.number',
            ),
            Tool(name="list_prs", description="List them.", input_schema={"type": "object"}),
        ),
    )


def put(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    *parents, last = path.split(".")

    def change(manifest: Any) -> None:
        for step in parents:
            manifest = manifest[int(step)] if step.isdigit() else manifest[step]
        manifest[last] = value

    return change


def drop(path: str) -> Callable[[dict[str, Any]], None]:
    *parents, last = path.split(".")

    def change(manifest: Any) -> None:
        for step in parents:
            manifest = manifest[int(step)] if step.isdigit() else manifest[step]
        del manifest[last]

    return change


# what is done to the good manifest, the path that the error names, the rule that is broken
DEFECTS: list[tuple[Callable[[dict[str, Any]], None], str, str]] = [
    (drop("name"), "$.name", "DISC-2"),
    (put("name", None), "$.name", "DISC-2"),
    (put("name", 5), "$.name", "DISC-2"),
    (put("name", ""), "$.name", "DISC-2"),
    (put("name", "x" * 129), "$.name", "DISC-2"),
    (put("description", 5), "$.description", "DISC-2"),
    (put("description", "x" * 65_537), "$.description", "DISC-2"),
    (drop("endpoint"), "$.endpoint", "DISC-2"),
    (put("endpoint", None), "$.endpoint", "DISC-2"),
    (put("endpoint", ["x"]), "$.endpoint", "DISC-2"),
    (put("endpoint", "/invoke"), "$.endpoint", "DISC-2"),
    (put("endpoint", "tools.example/invoke"), "$.endpoint", "DISC-2"),
    (put("endpoint", "ftp://tools.example/invoke"), "$.endpoint", "DISC-2"),
    (put("endpoint", "http://tools.example:8801/in voke"), "$.endpoint", "DISC-2"),
    (put("endpoint", "http://user:secret@tools.example:8801/invoke"), "$.endpoint", "DISC-2"),
    (put("endpoint", "http://other.example:8801/invoke"), "$.endpoint", "S3"),
    (put("endpoint", "http://tools.example:8802/invoke"), "$.endpoint", "S3"),
    (put("endpoint", "https://tools.example:8801/invoke"), "$.endpoint", "S3"),
    (put("endpoint", "http://169.254.169.254/latest/meta-data"), "$.endpoint", "S3"),
    (put("needsMigration", "yes"), "$.needsMigration", "MIG-1"),
    (drop("tools"), "$.tools", "DISC-2"),
    (put("tools", None), "$.tools", "DISC-2"),
    (put("tools", {}), "$.tools", "DISC-2"),
    (put("tools", []), "$.tools", "DISC-2"),
    (put("tools", [GOOD["tools"][0]] * 513), "$.tools", "DISC-2"),
    (put("tools", ["get_pr"]), "$.tools[0]", "DISC-2"),
    (put("tools", [GOOD["tools"][0], None]), "$.tools[1]", "DISC-2"),
    (drop("tools.1.name"), "$.tools[1].name", "DISC-2"),
    (put("tools.1.name", 5), "$.tools[1].name", "DISC-2"),
    (put("tools.1.name", ""), "$.tools[1].name", "DISC-2"),
    (put("tools.1.name", "list prs"), "$.tools[1].name", "DISC-2"),
    (put("tools.1.name", "list\tprs"), "$.tools[1].name", "DISC-2"),
    (put("tools.1.name", "list\u200bprs"), "$.tools[1].name", "DISC-2"),
    (put("tools.1.name", "x" * 129), "$.tools[1].name", "DISC-2"),
    (put("tools.1.name", "get_pr"), "$.tools[1].name", "DISC-4"),
    (drop("tools.1.description"), "$.tools[1].description", "DISC-2"),
    (put("tools.1.description", ""), "$.tools[1].description", "DISC-2"),
    (put("tools.1.description", 5), "$.tools[1].description", "DISC-2"),
    (drop("tools.0.inputSchema"), "$.tools[0].inputSchema", "DISC-2"),
    (put("tools.0.inputSchema", None), "$.tools[0].inputSchema", "DISC-2"),
    (put("tools.0.inputSchema", True), "$.tools[0].inputSchema", "DISC-2"),
    (put("tools.0.inputSchema", "{}"), "$.tools[0].inputSchema", "DISC-2"),
    (put("tools.0.inputSchema", {"type": "strin"}), "$.tools[0].inputSchema.type", "DISC-2"),
    (put("tools.0.inputSchema", {"type": "string"}), "$.tools[0].inputSchema.type", "DISC-2"),
    (
        put("tools.0.inputSchema.properties.number.type", 5),
        "$.tools[0].inputSchema.properties.number.type",
        "DISC-2",
    ),
    (put("tools.0.inputSchema.properties", []), "$.tools[0].inputSchema.properties", "DISC-2"),
    (put("tools.0.inputSchema.required", "number"), "$.tools[0].inputSchema.required", "DISC-2"),
    (put("tools.0.inputSchema.pattern", "("), "$.tools[0].inputSchema.pattern", "DISC-2"),
    (put("tools.0.inputSchema.$ref", "#/nowhere"), "$.tools[0].inputSchema", "DISC-2"),
    (put("tools.0.inputSchema.$ref", "http://127.0.0.1:9/schema"), "$.tools[0].inputSchema", "DISC-2"),
    (put("tools.0.inputSchema.$ref", "file:///etc/passwd"), "$.tools[0].inputSchema", "DISC-2"),
    (put("tools.0.inputSchema.$schema", "https://nobody.example/meta"), "$.tools[0].inputSchema", "DISC-2"),
    (put("tools.0.inputSchema.$schema", 5), "$.tools[0].inputSchema.$schema", "DISC-2"),
    (put("tools.0.inputSchema", deep(40)), "$.tools[0].inputSchema", "DISC-2"),
    (put("tools.0.annotations", []), "$.tools[0].annotations", "DISC-9"),
    (put("tools.0.annotations.readOnly", "yes"), "$.tools[0].annotations.readOnly", "DISC-9"),
    (put("tools.0.annotations.destructive", 1), "$.tools[0].annotations.destructive", "DISC-9"),
    (put("tools.0.annotations.idempotent", {}), "$.tools[0].annotations.idempotent", "DISC-9"),
    (put("tools.0.annotations.longRunning", 0), "$.tools[0].annotations.longRunning", "DISC-9"),
    (put("tools.0.annotations.requiresAuth", True), "$.tools[0].annotations.requiresAuth", "DISC-9"),
    (put("tools.0.displayScript", 5), "$.tools[0].displayScript", "DISC-8"),
    (put("tools.0.displayScript", "x" * 16_385), "$.tools[0].displayScript", "DISC-8"),
]


@pytest.mark.rap("DISC-2", "DISC-3", "DISC-4", "DISC-9")
@pytest.mark.trap("S3", "S10")
@pytest.mark.parametrize(
    ("change", "path", "rule"), DEFECTS, ids=[f"{index}-{path}" for index, (_, path, _) in enumerate(DEFECTS)]
)
def test_one_defect_refuses_the_whole_toolset_with_path_and_rule(
    change: Callable[[dict[str, Any]], None], path: str, rule: str
) -> None:
    manifest = json.loads(json.dumps(GOOD))
    change(manifest)
    with pytest.raises(ToolsetError) as caught:
        parse(manifest)
    assert f"the toolset of {BASE} is refused: {path}: " in str(caught.value)
    assert caught.value.rule == rule
    assert len(str(caught.value)) < 600
    assert "secret" not in str(caught.value)


@pytest.mark.rap("DISC-2")
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b'{"name": "\xff"}', b"{" * 100_000, b'{"a":' * 100_000]
)
def test_what_is_not_a_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(ToolsetError) as caught:
        parse_manifest(body, BASE)
    assert caught.value.rule == "DISC-2"


def test_fields_of_the_future_are_ignored() -> None:
    more = json.loads(json.dumps(GOOD))
    more["protocolVersion"] = 9
    more["tools"][0]["outputSchema"] = {"type": "strin"}
    assert parse(more) == parse(GOOD)


def test_optional_fields_may_be_missing_or_null() -> None:
    least = {"name": "n", "endpoint": f"{BASE}/i", "tools": [GOOD["tools"][1]]}
    nulls = {"description": None, "needsMigration": None}
    tool_nulls = {**GOOD["tools"][1], "annotations": None, "displayScript": None}
    assert parse({**least, **nulls, "tools": [tool_nulls]}) == parse(least)


@pytest.mark.rap("DISC-2")
@pytest.mark.parametrize(
    "schema",
    [
        {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "definitions": {}},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"},
        {"type": "object", "properties": {"child": {"$ref": "#"}}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "string"}}},
        {"type": "object", "x-unknown-keyword": {"anything": True}},
    ],
)
def test_schemas_of_any_known_draft_are_accepted(schema: dict[str, Any]) -> None:
    tool = {**GOOD["tools"][1], "inputSchema": schema}
    assert parse({**GOOD, "tools": [tool]}).tools[0].input_schema == schema


def test_a_schema_without_a_type_is_about_objects() -> None:
    tool = {**GOOD["tools"][1], "inputSchema": {"required": ["a"]}}
    assert parse({**GOOD, "tools": [tool]}).tools[0].input_schema == {"type": "object", "required": ["a"]}


@pytest.mark.rap("DISC-9")
def test_annotations_are_known_by_name_and_unknown_ones_are_kept() -> None:
    get_pr, list_prs = parse(GOOD).tools
    assert get_pr.read_only and not get_pr.destructive
    assert get_pr.annotations["x-cost"] == 3
    assert not (list_prs.read_only or list_prs.idempotent or list_prs.long_running)


@pytest.mark.rap("DISC-6")
def test_a_cached_copy_reads_back_as_the_same_toolset() -> None:
    assert Toolset.from_json(parse(GOOD).to_json()) == parse(GOOD)


@pytest.mark.rap("DISC-6")
@pytest.mark.parametrize(
    "data", [b"", b"{}", b"null", b'{"baseUrl": "http://x"}', b'{"baseUrl": 5, "manifest": {}}']
)
def test_a_damaged_copy_is_an_error_and_not_an_empty_toolset(data: bytes) -> None:
    with pytest.raises(ToolsetError):
        Toolset.from_json(data)


@pytest.mark.trap("S3")
def test_a_cached_copy_cannot_send_calls_elsewhere() -> None:
    moved = json.loads(parse(GOOD).to_json())
    moved["manifest"]["endpoint"] = "http://evil.example/invoke"
    with pytest.raises(ToolsetError):
        Toolset.from_json(json.dumps(moved).encode())


@pytest.mark.trap("S3")
def test_a_response_url_belongs_to_its_server_or_not() -> None:
    toolset = parse(GOOD)
    assert toolset.owns(f"{BASE}/choice/7?x=y")
    assert not toolset.owns("http://tools.example/choice")
    assert not toolset.owns("http://127.0.0.1:8800/v1/threads")
