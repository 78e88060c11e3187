"""The functions, their variables and their doors: as the contract of the cloud host asks for them."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import pytest

from conftest import FUNCTIONS, ROOT, Template, listed

CONTRACT = ROOT / "docs" / "internals" / "cloud.md"


def needed() -> dict[str, tuple[str, ...]]:
    """Which functions need which variable, by the table of the contract."""
    rows = re.findall(r"^\| `(INFINITY_[A-Z_]+)` \| ([^|]+) \|", CONTRACT.read_text(), re.MULTILINE)
    meanings = {"all": FUNCTIONS, "all but relay": tuple(name for name in FUNCTIONS if name != "relay")}
    found = {}
    for variable, words in rows:
        functions = meanings.get(words.strip()) or tuple(
            name for name in FUNCTIONS if name in re.split(r"[ ,]+", words)
        )
        found[variable] = functions
    return found


def test_there_are_the_six_functions_of_one_runtime_and_layer(template: Template) -> None:
    functions = template.functions()
    assert set(functions) == set(FUNCTIONS)
    assert {each["Runtime"] for each in functions.values()} == {"python3.12"}
    assert {tuple(each["Architectures"]) for each in functions.values()} == {("arm64",)}
    assert len({json.dumps(each["Layers"]) for each in functions.values()}) == 1


@pytest.mark.parametrize(("variable", "functions"), needed().items())
def test_every_variable_of_the_contract_is_set_where_it_is_needed(
    plain: Template, variable: str, functions: tuple[str, ...]
) -> None:
    if variable != "INFINITY_API_TOKEN":
        assert [name for name in functions if variable not in plain.variables(name)] == []


def test_the_contract_is_read() -> None:
    table = needed()
    assert table["INFINITY_INBOX_QUEUE"] == FUNCTIONS
    assert table["INFINITY_STORE"] == tuple(name for name in FUNCTIONS if name != "relay")
    assert table["INFINITY_SCHEDULE_ROLE"] == ("agent",)


def test_what_the_handlers_ask_for_is_there(template: Template) -> None:
    """``handlers.py`` names the places that each function cannot do without."""
    folder = ROOT / "python" / "infinity" / "cloud"
    variables = dict(
        re.findall(r'"([a-z_]+)": \(\s*"(INFINITY_[A-Z_]+)"', (folder / "environment.py").read_text())
    )
    source = (folder / "handlers.py").read_text()
    for name in FUNCTIONS:
        body = source.split(f"def {name}(event")[1].split("\ndef ")[0]
        words = " ".join(re.findall(r'"([a-z_ ]+)"', body)).split()
        for variable in (variables[word] for word in words if word not in ("tools", "keys")):
            assert variable in template.variables(name), f"{name} needs {variable}"


def test_every_function_may_be_part_of_a_long_loop(template: Template) -> None:
    for each in template.of("AWS::Lambda::Function").values():
        assert each["RecursiveLoop"] == "Allow"


def test_every_log_is_kept_for_a_time_and_every_function_has_one_of_its_own(template: Template) -> None:
    logs = template.of("AWS::Logs::LogGroup")
    assert all(log["RetentionInDays"] == 30 for log in logs.values())
    named = [
        each["LoggingConfig"]["LogGroup"]["Ref"] for each in template.of("AWS::Lambda::Function").values()
    ]
    assert sorted(named) == sorted(logs)
    # What Lambda lets through, and what the host says.
    levels = {each["LoggingConfig"]["ApplicationLogLevel"] for each in template.functions().values()}
    assert levels == {template.variables("agent")["INFINITY_LOG_LEVEL"].upper()}


def test_no_secret_is_in_the_template(full: Template) -> None:
    variables = full.variables("agent")
    assert "secretsmanager:" in json.dumps(variables["ANTHROPIC_API_KEY"])
    assert json.dumps(variables["ANTHROPIC_API_KEY"]).endswith('"#anthropic"]]}')
    assert variables["OTHER"] == "ssm:/other"
    assert "{{resolve:" not in json.dumps(full.document)
    assert "secretsmanager:" in json.dumps(full.variables("api")["INFINITY_API_TOKEN"])


def test_anybody_may_reach_the_receiver_which_takes_both_permissions(template: Template) -> None:
    receiver = template.id_of("receiver")
    open_doors = [
        permission
        for permission in template.of("AWS::Lambda::Permission").values()
        if permission["Principal"] == "*"
    ]
    of_receiver = [each for each in open_doors if receiver in json.dumps(each["FunctionName"])]
    assert {each["Action"] for each in of_receiver} == {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
    for each in of_receiver:
        assert each.get("FunctionUrlAuthType") == "NONE" or each["InvokedViaFunctionUrl"] is True


def test_nobody_reaches_anything_else_without_iam_or_a_token(plain: Template, full: Template) -> None:
    def open_to_all(template: Template) -> set[str]:
        urls = template.of("AWS::Lambda::Url").values()
        targets = {json.dumps(url["TargetFunctionArn"]) for url in urls if url["AuthType"] == "NONE"}
        return {name for name in FUNCTIONS if any(template.id_of(name) in target for target in targets)}

    assert open_to_all(plain) == {"receiver"}
    assert open_to_all(full) == {"receiver", "api"}
    assert "INFINITY_API_TOKEN" in full.variables("api")
    assert "INFINITY_API_TOKEN" not in plain.variables("api")


def test_no_process_has_to_ask_for_the_receivers_address(plain: Template, full: Template) -> None:
    for name in set(FUNCTIONS) - {"receiver", "relay"}:
        assert "Fn::Select" in json.dumps(plain.variables(name)["INFINITY_PUBLIC_URL"])
        assert full.variables(name)["INFINITY_PUBLIC_URL"] == "https://agent.example"
    # It makes no URLs of its own, and could not refer to its own.
    assert "INFINITY_PUBLIC_URL" not in plain.variables("receiver")
    assert not plain.of("AWS::SSM::Parameter")


def test_a_tool_function_is_called_by_the_agent_with_both_permissions(plain: Template) -> None:
    office = next(
        name
        for name, each in plain.of("AWS::Lambda::Function").items()
        if each["Handler"] == "office.handler"
    )
    for function in ("agent", "api"):
        allowed = [
            each
            for each in plain.statements(plain.functions()[function]["Role"])
            if office in json.dumps(each["Resource"])
        ]
        actions = {action: each["Condition"] for each in allowed for action in listed(each["Action"])}
        assert actions == {
            "lambda:InvokeFunctionUrl": {"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}},
            "lambda:InvokeFunction": {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}},
        }
    (url,) = [
        each
        for each in plain.of("AWS::Lambda::Url").values()
        if office in json.dumps(each["TargetFunctionArn"])
    ]
    assert url["AuthType"] == "AWS_IAM"


def test_the_agent_finds_its_tool_servers(plain: Template, full: Template) -> None:
    def configured(template: Template, name: str) -> Any:
        text = template.variables("agent")[name]
        parts = text["Fn::Join"][1] if isinstance(text, dict) else [text]
        filled = "".join(
            part if isinstance(part, str) else "https://x.lambda-url.eu-central-1.on.aws/" for part in parts
        )
        return tomllib.loads(f"toolset = {filled}")["toolset"]

    office = configured(plain, "INFINITY_TOOLSETS_OFFICE")
    assert office == {"url": "https://x.lambda-url.eu-central-1.on.aws/", "auth": "aws_iam"}
    search = configured(full, "INFINITY_TOOLSETS_WEB_SEARCH")
    assert search == {"url": "https://search.example", "token_env": "TOOLSET_WEB_SEARCH_TOKEN"}
    assert "#search" in json.dumps(full.variables("agent")["TOOLSET_WEB_SEARCH_TOKEN"])
    assert "TOOLSET_WEB_SEARCH_TOKEN" not in full.variables("receiver")
