"""``infinity.toml`` and the environment: everything that can be written wrongly, and what is said about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from infinity.config.project import ProjectFile
from infinity.config.reading import read_config
from infinity.config.schema import Config
from infinity.errors import ConfigError
from infinity.local.daemon import plan
from infinity.local.home import Home
from infinity.local.trust import Trust, find_project_file
from infinity.settings import Retention, Settings


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "infinity.toml"


def test_without_a_file_everything_has_its_default(path: Path) -> None:
    config = read_config(path, {})
    assert (config.daemon.host, config.daemon.port) == ("127.0.0.1", 7345)
    assert config.settings() == Settings()


def test_a_question_may_wait_for_ever(path: Path) -> None:
    path.write_text("[timeouts]\nprompt = 0")
    assert read_config(path, {}).settings().timeouts.prompt == 0
    path.write_text("[timeouts]\nprompt = -1")
    with pytest.raises(ConfigError, match="prompt is -1"):
        read_config(path, {})


def test_a_full_file_is_read(path: Path) -> None:
    path.write_text(
        """
        [daemon]
        host = "0.0.0.0"
        port = 8000
        public_url = "https://agent.example"
        hosts = ["agent.lan"]
        [agent]
        instructions = "Look after the builds."
        [models]
        default = "fast"
        [models.named.fast]
        model = "anthropic/claude-haiku-5-5"
        [toolsets.web]
        url = "https://tools.example"
        token_env = "WEB_TOKEN"
        [toolsets.ci]
        command = "python3"
        args = ["ci.py", "--port", "{port}"]
        env = { LEVEL = "info" }
        cwd = "/srv"
        port = 9000
        [limits]
        rounds = 3
        [timeouts]
        call = 60
        [retries]
        dispatch = 2
        [policy]
        destructive = "deny"
        tools = { delete = "allow" }
        [log]
        level = "debug"
        format = "json"
        """
    )
    config = read_config(path, {})
    settings = config.settings()
    assert (settings.limits.rounds, settings.timeouts.call, settings.retries.dispatch) == (3, 60.0, 2)
    assert settings.policy.tools == {"delete": "allow"} and settings.policy.destructive == "deny"
    assert settings.instructions == "Look after the builds." and settings.default_model == "fast"
    assert config.toolsets["ci"].args == ("ci.py", "--port", "{port}")


WRONG = [
    ("[daemon]\nprot = 1", ":2: unknown setting [daemon] prot; did you mean [daemon] port?"),
    ("[deamon]\nport = 1", ":1: unknown setting [deamon]; did you mean [daemon]?"),
    ("[daemon]\nport = '1'", ':2: [daemon] port is "1", but must be a whole number; for example port = 7345'),
    ("[daemon]\nport = 70000", ":2: [daemon] port is 70000, but must be less than or equal to 65535"),
    ("[daemon]\nport = true", ":2: [daemon] port is true"),
    ("[daemon]\npublic_url = 'ftp://x'", ":2: [daemon] public_url must start with http"),
    ("daemon = 3", ":1: [daemon] is 3"),
    ("[limits]\nrounds = 0", ":2: [limits] rounds is 0, but must be greater than 0; for example rounds = 50"),
    ("[limits]\nrounds = 1.5", ":2: [limits] rounds is 1.5"),
    ("[limits]\nmessage_byte = 1", "did you mean [limits] message_bytes?"),
    ("[timeouts]\ncall = nan", ":2: [timeouts] call is nan"),
    ("[timeouts]\ncall = -1", ":2: [timeouts] call is -1, but must be greater than 0"),
    (
        "[policy]\ndestructive = 'maybe'",
        "must be 'allow', 'ask' or 'deny'; for example destructive = \"ask\"",
    ),
    ("[log]\nlevel = 'loud'", ':2: [log] level is "loud"'),
    ("[toolsets.x]\n", "[toolsets] x needs exactly one of 'url' (a running server) and 'command'"),
    ("[toolsets.x]\nurl = 'http://a'\ncommand = 'b'", "needs exactly one of"),
    ("[toolsets.x]\nurl = 'http://a'\nargs = ['b']", "'args' is for servers that are started by 'command'"),
    ("[toolsets.x]\nurl = 'http://user:secret@a'", ":2: [toolsets.x] url carries a user name or password"),
    (
        "[toolsets.x]\nurl = 'http://a'\ntoken_env = 'sk-123 456'",
        "name of an environment variable, not a secret",
    ),
    (
        "[toolsets.x]\ncommand = 'a'\ncomand = 'b'",
        ":3: unknown setting [toolsets.x] comand; did you mean [toolsets.x] command?",
    ),
    ("[toolsets.'../x']\nurl = 'http://a'", "is not a name for a toolset"),
    ("[toolsets.x]\ncommand = 'a'\nenv = { A = 1 }", "[toolsets.x.env] A is 1, but must be text in quotes"),
    ("[daemon", "is not valid TOML"),
    ("a = 1\na = 2", "is not valid TOML"),
]


@pytest.mark.parametrize(("text", "expected"), WRONG, ids=[text.replace("\n", " ") for text, _ in WRONG])
def test_a_wrong_setting_is_named_with_its_line_and_what_to_write(
    path: Path, text: str, expected: str
) -> None:
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        read_config(path, {})
    assert expected in str(raised.value)
    assert str(path) in str(raised.value)


def test_every_mistake_is_reported_at_once(path: Path) -> None:
    path.write_text("[daemon]\nport = -1\n[limits]\nrounds = 0\n")
    with pytest.raises(ConfigError) as raised:
        read_config(path, {})
    assert len(str(raised.value).splitlines()) == 2


def test_a_file_that_is_not_text_is_refused(path: Path) -> None:
    path.write_bytes(b"[daemon]\n\xff")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_config(path, {})


def test_the_environment_overrides_the_file(path: Path) -> None:
    path.write_text("[daemon]\nport = 1\n[limits]\nrounds = 1\n")
    environment = {
        "INFINITY_DAEMON_PORT": "2",
        "INFINITY_LIMITS_ROUNDS": "3",
        "INFINITY_TIMEOUTS_SHORT_WAIT": "0.5",
        "INFINITY_DAEMON_HOSTS": '["a", "b"]',
        "INFINITY_AGENT_INSTRUCTIONS": "12",
        "INFINITY_MODEL": "scripted/default",
        "INFINITY_TOOLSETS_PRICES": '{ url = "https://prices.example", token_env = "PRICES_TOKEN" }',
        "INFINITY_HOME": "/elsewhere",
        "UNRELATED": "x",
    }
    config = read_config(path, environment)
    assert (config.daemon.port, config.daemon.hosts) == (2, ("a", "b"))
    settings = config.settings()
    assert (settings.limits.rounds, settings.timeouts.short_wait) == (3, 0.5)
    assert (settings.instructions, settings.default_model) == ("12", "scripted/default")
    prices = config.toolsets["prices"]
    assert (prices.url, prices.token_env) == ("https://prices.example", "PRICES_TOKEN")


def test_every_section_of_plain_values_comes_from_the_environment_too(path: Path) -> None:
    """One that does not would be ignored without a word."""
    fields = Config.model_fields.items()
    plain = [
        section
        for section, of in fields
        if isinstance(of.annotation, type) and issubclass(of.annotation, BaseModel)
    ]
    assert "retention" in plain and len(plain) >= 8
    for section in plain:
        name = f"INFINITY_{section.upper()}_NONESUCH"
        with pytest.raises(ConfigError, match=name):
            read_config(path, {name: "1"})


def test_retention_is_a_number_of_days(path: Path) -> None:
    assert (
        read_config(path, {"INFINITY_RETENTION_CLOSED_DAYS": "2.5"}).settings().retention.closed_days == 2.5
    )
    bad: Any
    for bad in (-1, float("nan"), float("inf"), "x", None, True):
        with pytest.raises(ValueError, match="closed_days"):
            Retention(closed_days=bad)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (
            "INFINITY_DAEMON_PORT",
            "high",
            'INFINITY_DAEMON_PORT: [daemon] port is "high", but must be a whole number',
        ),
        (
            "INFINITY_LIMITS_ROUND",
            "1",
            "INFINITY_LIMITS_ROUND: unknown setting [limits] round; did you mean [limits] rounds?",
        ),
        ("INFINITY_POLICY_DEFAULT", "perhaps", "INFINITY_POLICY_DEFAULT: [policy] default is"),
        ("INFINITY_TOOLSETS_PRICES", "https://prices.example", "INFINITY_TOOLSETS_PRICES: "),
        (
            "INFINITY_TOOLSETS_PRICES",
            '{ urls = "" }',
            "INFINITY_TOOLSETS_PRICES: unknown setting [toolsets.prices] urls",
        ),
    ],
)
def test_a_wrong_variable_is_named(path: Path, name: str, value: str, expected: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read_config(path, {name: value})
    assert str(raised.value).startswith(expected)


# -- projects


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "infinity.toml").write_text("[toolsets.mine]\ncommand = 'touch'\nargs = ['/tmp/owned']\n")
    return directory


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.prepare()
    return made


@pytest.mark.trap("S5")
def test_a_project_that_is_not_trusted_sets_nothing(home: Home, project: Path) -> None:
    planned = plan(home, {}, project)
    assert planned.config.toolsets == {}
    [notice] = planned.notices
    assert f"infinity trust {project / 'infinity.toml'}" in notice


@pytest.mark.trap("S5")
def test_trust_ends_when_the_file_changes(home: Home, project: Path) -> None:
    file = find_project_file(project, home)
    assert file is not None
    Trust(home).record(file)
    planned = plan(home, {}, project)
    assert planned.notices == () and planned.config.toolsets["mine"].cwd == str(project)
    with (project / "infinity.toml").open("a") as text:
        text.write("# changed\n")
    planned = plan(home, {}, project)
    assert planned.config.toolsets == {} and "has changed" in planned.notices[0]


def test_trust_can_be_withdrawn(home: Home, project: Path) -> None:
    file = find_project_file(project, home)
    assert file is not None
    Trust(home).record(file)
    assert Trust(home).withdraw(project / "infinity.toml")
    assert not Trust(home).withdraw(project / "infinity.toml")
    assert plan(home, {}, project).config.toolsets == {}


@pytest.mark.parametrize("section", ["daemon", "policy", "limits", "log"])
def test_even_a_trusted_project_sets_nothing_that_concerns_the_daemon(
    home: Home, project: Path, section: str
) -> None:
    file = ProjectFile(project / "infinity.toml", f"[{section}]\n".encode())
    with pytest.raises(ConfigError, match=rf"\[{section}\] belongs in {home.config}"):
        read_config(home.config, {}, file)


def test_the_home_s_own_file_is_no_project(home: Home) -> None:
    home.config.write_text("[daemon]\nport = 1\n")
    assert find_project_file(home.path, home) is None
