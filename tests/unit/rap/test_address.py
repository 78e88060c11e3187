"""Which URLs belong to a configured server."""

from __future__ import annotations

import pytest

from infinity.errors import ConfigError
from infinity.rap.address import Server, same_origin, shown, url_problem

pytestmark = pytest.mark.trap("S3")


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://tools.example/invoke", "http://tools.example"),
        ("http://tools.example:80/invoke", "http://tools.example/base"),
        ("https://tools.example/x?y=1", "https://tools.example:443"),
        ("HTTP://TOOLS.example/x", "http://tools.EXAMPLE"),
        ("http://[::1]:8801/x", "http://[::1]:8801"),
        ("http://tools.example./invoke", "http://tools.example"),
        ("https://[2001:DB8:0::1]/x", "https://[2001:db8::1]:443"),
    ],
)
def test_the_same_scheme_host_and_port_is_the_same_server(url: str, base: str) -> None:
    assert same_origin(url, base)


NAMES = [
    "127.0.0.1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
]


@pytest.mark.rap("CHO-5")
@pytest.mark.parametrize("one", NAMES)
@pytest.mark.parametrize("other", NAMES)
def test_the_loopback_names_of_one_port_are_one_server(one: str, other: str) -> None:
    assert same_origin(f"http://{one}:8801/answer", f"http://{other}:8801")
    assert same_origin(f"http://{one}/answer", f"http://{other}:80")
    assert same_origin(f"https://{one}:443/answer", f"https://{other}")
    assert not same_origin(f"http://{one}:8802/answer", f"http://{other}:8801")
    assert not same_origin(f"https://{one}:8801/answer", f"http://{other}:8801")


@pytest.mark.rap("CHO-5")
@pytest.mark.parametrize(
    "host",
    [
        "localhost.example",
        "127.0.0.1.example",
        "localhost..",
        "127.0.0.2",
        "0.0.0.0",
        "[::]",
        "[::2]",
        "10.0.0.1",
    ],
)
def test_what_only_looks_like_the_loopback_is_another_server(host: str) -> None:
    assert not same_origin(f"http://{host}:8801/answer", "http://localhost:8801")


@pytest.mark.parametrize(
    "url",
    [
        "https://tools.example/invoke",
        "http://tools.example:8080/invoke",
        "http://tools.example.evil/invoke",
        "http://evil/tools.example",
        "http://tools.example@evil/",
        "http://evil#@tools.example/",
        "http://evil\\@tools.example/",
        "http://sub.tools.example/",
        "http://127.0.0.1/",
        "//tools.example/invoke",
        "/invoke",
        "",
        "file:///etc/passwd",
        "http://tools.example:99999/",
    ],
)
def test_anything_else_is_not(url: str) -> None:
    assert not same_origin(url, "http://tools.example")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "tools.example",
        "ftp://tools.example",
        "http://",
        "http://:80/",
        "http://host:0/",
        "http://host:x/",
        "http://[::1",
        "http://host/a b",
        "http://host/\n",
        "http://höst/",
        "http://user:secret@host/",
        "http://host/#part",
        "http://host/" + "x" * 9000,
    ],
)
def test_a_url_that_cannot_be_called_says_why(url: str) -> None:
    assert url_problem(url)


@pytest.mark.parametrize("url", ["nonsense", "http://host?query=1", "http://u:p@host"])
def test_a_badly_configured_server_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        Server(url)


def test_a_server_is_named_without_its_trailing_slash() -> None:
    assert Server("http://host:1/").base_url == "http://host:1"


@pytest.mark.trap("S9")
def test_tokens_passwords_and_queries_are_not_shown() -> None:
    assert "secret" not in repr(Server("http://host", token="secret"))
    assert shown("https://user:secret@host:1/path?token=secret#secret") == "https://host:1/path"
    assert "secret" not in shown("http://[secret")
    assert shown("https://host/callback/v1.0a1b2c3d.secretsecret") == "https://host/callback/…"
