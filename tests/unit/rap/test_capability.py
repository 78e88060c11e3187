"""Callback URLs: what opens, what does not, and how keys rotate."""

from __future__ import annotations

import base64
import string

import pytest

from infinity.errors import BadRequest, ConfigError
from infinity.rap.capability import MAX_TOKEN, Capabilities, generate_key

pytestmark = [pytest.mark.rap("CB-5"), pytest.mark.trap("S1")]

BASE = "http://127.0.0.1:8800"
OLD, NEW = generate_key(), generate_key()
URL_SAFE = set(string.ascii_letters + string.digits + "-_.~")


def token(capabilities: Capabilities, thread: str = "thread_1", call_id: str = "call_1") -> str:
    return capabilities.url(thread, call_id).removeprefix(f"{BASE}/callback/")


def refused(capabilities: Capabilities, text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        capabilities.open(text)
    assert caught.value.rule == "CB-5"


@pytest.mark.parametrize(
    ("thread", "call_id"),
    [("t", "c"), ("thread.1", "a.b.c"), ("x" * 128, "y" * 128), ('"', "\\"), ("fädchen", "ruf☎")],
)
def test_a_url_opens_to_the_thread_and_call_it_was_made_for(thread: str, call_id: str) -> None:
    capabilities = Capabilities([NEW], BASE)
    assert capabilities.open(token(capabilities, thread, call_id)) == (thread, call_id)


def test_a_token_is_safe_in_a_url_and_at_most_512_characters_long() -> None:
    text = token(Capabilities([NEW], BASE), "x" * 128, "y" * 128)
    assert set(text) <= URL_SAFE
    assert len(text) <= MAX_TOKEN == 512


def test_ids_that_do_not_fit_are_an_error_and_not_a_broken_url() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Capabilities([NEW], BASE).url("x" * 300, "y" * 300)


def test_a_trailing_slash_of_the_base_url_is_not_doubled() -> None:
    assert Capabilities([NEW], BASE + "/").url("t", "c").startswith(f"{BASE}/callback/v1.")


def test_after_a_rotation_old_urls_open_and_new_ones_are_signed_with_the_new_key() -> None:
    before = token(Capabilities([OLD], BASE))
    rotated = Capabilities([NEW, OLD], BASE)
    assert rotated.open(before) == ("thread_1", "call_1")
    after = token(rotated)
    assert Capabilities([NEW], BASE).open(after) == ("thread_1", "call_1")
    refused(Capabilities([OLD], BASE), after)


def test_a_key_that_was_dropped_no_longer_opens_anything() -> None:
    refused(Capabilities([NEW], BASE), token(Capabilities([OLD], BASE)))


def test_the_same_keys_open_the_same_urls_in_another_process() -> None:
    assert Capabilities([bytes(NEW)], BASE).open(token(Capabilities([NEW], BASE))) == ("thread_1", "call_1")


def test_no_single_changed_character_opens() -> None:
    capabilities = Capabilities([NEW], BASE)
    good = token(capabilities)
    for index, character in enumerate(good):
        for other in {"A", "B", ".", "-", "=", "ä"} - {character}:
            refused(capabilities, good[:index] + other + good[index + 1 :])


def test_no_truncated_or_extended_token_opens() -> None:
    capabilities = Capabilities([NEW], BASE)
    good = token(capabilities)
    for length in range(len(good)):
        refused(capabilities, good[:length])
        refused(capabilities, good[length + 1 :])
    for more in ("=", ".", "A", "\n", " "):
        refused(capabilities, good + more)
        refused(capabilities, more + good)


@pytest.mark.parametrize(
    "text", ["", ".", "...", "v1", "v1.x", "v1..", "x" * 513, "v1." * 100, "💥.💥.💥.💥"]
)
def test_garbage_is_refused(text: str) -> None:
    refused(Capabilities([NEW], BASE), text)


def test_a_payload_signed_for_one_call_does_not_open_another() -> None:
    capabilities = Capabilities([NEW], BASE)
    version, key_id, _, mac = token(capabilities).split(".")
    other = base64.urlsafe_b64encode(b'["thread_2","call_1"]').rstrip(b"=").decode()
    refused(capabilities, f"{version}.{key_id}.{other}.{mac}")


def test_a_refusal_does_not_tell_what_was_wrong() -> None:
    capabilities = Capabilities([NEW], BASE)
    texts = set()
    for bad in (
        "",
        token(Capabilities([OLD], BASE)),
        token(capabilities)[:-1],
        "v2." + token(capabilities)[3:],
    ):
        with pytest.raises(BadRequest) as caught:
            capabilities.open(bad)
        texts.add(str(caught.value))
    assert len(texts) == 1


def test_every_generated_key_is_new_and_long() -> None:
    keys = {generate_key() for _ in range(100)}
    assert len(keys) == 100
    assert {len(key) for key in keys} == {32}


@pytest.mark.parametrize("keys", [[], [b"short"]])
def test_missing_and_weak_keys_are_refused(keys: list[bytes]) -> None:
    with pytest.raises(ConfigError):
        Capabilities(keys, BASE)


@pytest.mark.parametrize("base", ["", "127.0.0.1:8800", "ftp://host", "http://", "http://u:p@host"])
def test_a_base_url_that_no_server_could_call_is_refused(base: str) -> None:
    with pytest.raises(ConfigError):
        Capabilities([NEW], base)
