"""What cannot be deployed is refused when it is synthesised, in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager

from conftest import EXAMPLE
from infinity.deploy.cdk import InfinityAgent, Options, Stores
from infinity.errors import ConfigError


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"timeout": 901}, "must be 30 to 900"),
        ({"memory": 128}, "must be 256 to 10240"),
        ({"receives": 16}, "receives is 16, but must be 17 to 1000"),
        ({"concurrency": 1}, "must be 2 to 1000"),
        ({"database_role": "admin"}, "not admin"),
        ({"database_role": "a; DROP TABLE"}, "must be a name"),
        ({"agent": "module"}, "must be module:name"),
        ({"log_level": "loud"}, "must be debug, info, warning or error"),
        ({"secrets": {"a-b": None}}, "not a name of a variable"),
        (
            {"secrets": {"INFINITY_STORE": None}},
            r"INFINITY_STORE does not belong in secrets: Options\(store=",
        ),
        ({"environment": {"INFINITY_STORE": "postgresql://a"}}, r"in environment: Options\(store="),
        ({"environment": {"INFINITY_TABLE": "t"}}, r"Stores\.existing\(table=…\)"),
        ({"environment": {"INFINITY_TOOLSETS_WEB": "{}"}}, "call add_toolset"),
        ({"secrets": {"INFINITY_LIMITS_DEPTH": None}}, "does not belong in secrets"),
        ({"store": "mysql://a"}, "must begin with postgresql://"),
        ({"store": "postgresql://a:word@b/c"}, "put the URL into a secret"),
        ({"subnets": object()}, "of a vpc; give it too"),
        ({"restored": "2027-03-01"}, "at most 20 letters and digits"),
        ({"backup": -1}, "must be 0 to 3650"),
        ({"reserve": 1001}, "must be 0 to 1000"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Options(**options)  # type: ignore[arg-type]


def test_settings_of_the_configuration_may_be_in_the_environment() -> None:
    assert Options(environment={"INFINITY_MODEL": "fast", "INFINITY_LIMITS_DEPTH": "3"})


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"inbox": "Old.fifo"}, "give dead_letters too"),
        ({"cluster": "postgresql://x"}, "not an identifier of a cluster"),
        ({"inbox": "Old", "dead_letters": "Dead.fifo"}, "'Old' is not a FIFO queue"),
        ({"delay": "Old.fifo"}, "is a FIFO queue"),
        ({"delay": "a b"}, "neither the name nor the URL nor the ARN"),
    ],
)
def test_what_cannot_be_there_already_is_refused(
    stack: Stack, layer: Path, found: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        InfinityAgent(stack, "Agent", code=EXAMPLE / "agent", layer=layer, stores=Stores.existing(**found))


def test_there_is_one_database_only(stack: Stack, layer: Path) -> None:
    options, stores = Options(store="postgresql://a@b/c"), Stores.existing(cluster="a" * 26)
    with pytest.raises(ConfigError, match="one database only"):
        InfinityAgent(stack, "Agent", code=EXAMPLE / "agent", layer=layer, options=options, stores=stores)


@pytest.mark.parametrize("found", [{"table": "Old"}, {"output": "Old.fifo"}])
def test_what_is_ahead_of_a_database_that_was_put_back_is_not_kept(
    stack: Stack, layer: Path, found: dict[str, str]
) -> None:
    stores = Stores.existing(
        cluster="a" * 26, bucket="old", inbox="In.fifo", dead_letters="Dead.fifo", **found
    )
    made = {"code": EXAMPLE / "agent", "layer": layer, "stores": stores}
    with pytest.raises(ConfigError, match=rf"restored='1' .*leave {next(iter(found))} out"):
        InfinityAgent(stack, "Restored", options=Options(restored="1"), **made)  # type: ignore[arg-type]


def test_what_a_database_that_was_put_back_refers_to_is_kept(stack: Stack, layer: Path) -> None:
    stores = Stores.existing(cluster="a" * 26, bucket="old", inbox="In.fifo", dead_letters="Dead.fifo")
    options = Options(restored="1")
    InfinityAgent(stack, "Agent", code=EXAMPLE / "agent", layer=layer, options=options, stores=stores)


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
    with pytest.raises(ConfigError, match="is not a secret"):
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
