"""What cannot be deployed is refused when it is synthesised, in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager

from conftest import EXAMPLE
from infinity.cloud.cdk import InfinityAgent, Options
from infinity.errors import ConfigError


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"timeout": 901}, "must be 30 to 900"),
        ({"memory": 128}, "must be 256 to 10240"),
        ({"receives": 1}, "must be 5 to 1000"),
        ({"concurrency": 1}, "must be 2 to 1000"),
        ({"database_role": "admin"}, "not admin"),
        ({"database_role": "a; DROP TABLE"}, "must be a name"),
        ({"agent": "module"}, "must be module:name"),
        ({"log_level": "loud"}, "must be debug, info, warning or error"),
        ({"secrets": {"a-b": None}}, "no name of a variable"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Options(**options)  # type: ignore[arg-type]


@pytest.fixture
def stack() -> Stack:
    return Stack(App(), "Stack")


def agent(stack: Stack, layer: Path, options: Options | None = None) -> InfinityAgent:
    return InfinityAgent(stack, "Agent", code=EXAMPLE / "agent", layer=layer, options=options)


def test_a_layer_that_is_none_and_code_that_is_none_are_named(
    stack: Stack, layer: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"absent\.zip cannot be read.*infinity layer build"):
        agent(stack, tmp_path / "absent.zip")
    with pytest.raises(ConfigError, match="code is to be a folder"):
        InfinityAgent(stack, "Other", code=tmp_path / "absent", layer=layer)


def test_variables_that_do_not_fit_fail_the_synthesis(stack: Stack, layer: Path) -> None:
    agent(stack, layer, Options(environment={"INSTRUCTIONS": "x" * 3000}))
    with pytest.raises(RuntimeError, match="variables of the function agent have about"):
        App.of(stack).synth()


def test_a_secret_is_not_taken_in_the_clear(stack: Stack, layer: Path) -> None:
    with pytest.raises(ConfigError, match="is no secret"):
        agent(stack, layer, Options(secrets={"ANTHROPIC_API_KEY": "sk-in-the-clear"}))


def test_a_token_that_the_configuration_names_is_asked_for_and_given_to_those_who_call(
    stack: Stack, layer: Path, tmp_path: Path
) -> None:
    (tmp_path / "infinity.toml").write_text('[toolsets.web]\nurl = "https://a.example"\ntoken_env = "WEB"\n')
    with pytest.raises(ConfigError, match=r"\[toolsets\.web\] names WEB; give it in Options"):
        InfinityAgent(stack, "Without", code=tmp_path, layer=layer)
    secret = secretsmanager.Secret(stack, "Secret")
    options = Options(secrets={"WEB": secret, "KEY": secret})
    InfinityAgent(stack, "With", code=tmp_path, layer=layer, options=options)
    template = App.of(stack).synth().get_stack_by_name("Stack").template
    variables = {
        each["Properties"]["Handler"].rpartition(".")[2]: each["Properties"]["Environment"]["Variables"]
        for name, each in template["Resources"].items()
        if each["Type"] == "AWS::Lambda::Function"
        and name.startswith("With")
        and not name.startswith("Without")
    }
    assert {name for name, found in variables.items() if "KEY" in found} == {"agent"}
    assert {name for name, found in variables.items() if isinstance(found.get("WEB"), dict)} == {
        "agent",
        "api",
    }
    assert {name for name, found in variables.items() if "WEB" in found} == {"agent", "api"}


def test_a_toolset_is_a_function_or_an_https_address(stack: Stack, layer: Path) -> None:
    made = agent(stack, layer)
    code = lambda_.Code.from_inline("def handler(event, context): pass")
    runtime = lambda_.Runtime.PYTHON_3_12
    function = lambda_.Function(stack, "F", code=code, handler="index.handler", runtime=runtime)
    with pytest.raises(ConfigError, match="exactly one of"):
        made.add_toolset("both", url="https://a.example", function=function)
    with pytest.raises(ConfigError, match="exactly one of"):
        made.add_toolset("neither")
    with pytest.raises(ConfigError, match="no room for a token"):
        made.add_toolset("twice", function=function, token_secret=secretsmanager.Secret(stack, "S"))
    with pytest.raises(ConfigError, match="must begin with https"):
        made.add_toolset("plain", url="http://a.example")
    with pytest.raises(ConfigError, match="small letters"):
        made.add_toolset("Not-a-name", function=function)
