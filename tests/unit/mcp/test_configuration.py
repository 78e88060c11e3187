"""``[mcp_servers.NAME]`` and what becomes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infinity.config.reading import read_config
from infinity.config.schema import Config
from infinity.errors import ConfigError
from infinity.local.mcp_servers import bridge_tokens, specification, tool_servers
from infinity.mcp.specification import ENVIRONMENT, TOKEN, ServerSpecification, read_specification


def configured(tmp_path: Path, text: str) -> Config:
    file = tmp_path / "infinity.toml"
    file.write_text(text)
    return read_config(file, {})


def specified(environment: dict[str, str], **settings: Any) -> ServerSpecification:
    config = Config.model_validate({"mcp_servers": {"tool": settings}})
    return specification("tool", config.mcp_servers["tool"], environment)


def test_the_shape_that_mcp_users_know_is_taken(tmp_path: Path) -> None:
    config = configured(
        tmp_path,
        """
        [mcp_servers.time]
        command = "uvx"
        args = ["mcp-server-time"]
        env = { TZ = "UTC" }

        [mcp_servers.remote]
        type = "http"
        url = "https://mcp.example/mcp"
        headers = { Authorization = "Bearer x" }
        """,
    )
    tokens = bridge_tokens(config, "the home's token")
    assert len({*tokens.values(), "the home's token"}) == 3, "each its own"
    assert tokens == bridge_tokens(config, "the home's token"), "the same after a restart"
    bridges = tool_servers(config, tokens)
    assert [bridges[name].env[TOKEN] for name in bridges] == [tokens[name] for name in bridges]
    assert bridges.keys() == {"time", "remote"}
    found = read_specification(bridges["time"].env[ENVIRONMENT])
    assert (found.name, found.command, found.args, found.env) == (
        "time",
        "uvx",
        ("mcp-server-time",),
        {"TZ": "UTC"},
    )
    assert "Bearer" not in " ".join(bridges["remote"].args), "a secret is not for the list of processes"


def test_variables_are_filled_in_from_the_daemons_environment() -> None:
    found = specified(
        {"KEY": "secret", "OTHER": "2"},
        command="server",
        args=["--as", "${USER_NAME:-nobody}"],
        env={"API_KEY": "${KEY}"},
        env_from=["OTHER"],
    )
    assert found.env == {"API_KEY": "secret", "OTHER": "2"}
    assert found.args == ("--as", "nobody")


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "https://x.example", "headers": {"Authorization": "${TOKEN}"}},
        {"command": "x", "env_from": ["TOKEN"]},
    ],
)
def test_a_variable_that_is_not_set_is_named(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"\[mcp_servers.tool\] .* names TOKEN, which is not set"):
        specified({}, **settings)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[mcp_servers.a]\n", "needs exactly one of 'command'"),
        ('[mcp_servers.a]\ncommand = "x"\nheaders = {}\n', "'headers' does not go with 'command'"),
        ('[mcp_servers.a]\nurl = "https://x.example"\nargs = []\n', "'args' does not go with 'url'"),
        ('[mcp_servers.a]\ntype = "http"\ncommand = "x"\n', "type \"http\" does not go with 'command'"),
        ('[mcp_servers.a]\ncomand = "x"\n', "did you mean [mcp_servers.a] command?"),
        ('[mcp_servers."a b"]\ncommand = "x"\n', "'a b' is not a name"),
        (
            '[mcp_servers.a]\ncommand = "x"\n[toolsets.a]\ncommand = "x"\n',
            "[mcp_servers.a] has the name of [toolsets.a]",
        ),
    ],
)
def test_what_is_wrong_is_told_with_what_to_write(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, text)
    assert said in str(caught.value)


def test_a_specification_that_is_none_is_refused() -> None:
    for text in ("", "{}", '{"name": "a"}', '{"name": "a", "command": "x", "url": "y"}'):
        with pytest.raises(ConfigError):
            read_specification(text)
