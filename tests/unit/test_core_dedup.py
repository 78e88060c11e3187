"""The exact set of processed ids (I3)."""

from __future__ import annotations

import pytest

from infinity._core import CoreError, DedupSet


def test_an_id_is_new_once() -> None:
    seen = DedupSet()
    assert seen.add("a")
    assert not seen.add("a")
    assert "a" in seen
    assert "b" not in seen
    assert len(seen) == 1


@pytest.mark.trap("R2")
def test_an_id_costs_at_most_32_bytes_whatever_its_length() -> None:
    seen = DedupSet()
    for number in range(20_000):
        seen.add(f"a rather long id of a message that some client made up {number}")
        if number >= 1_000 and number % 97 == 0:
            assert seen.memory() <= 32 * len(seen), f"{seen.memory() / len(seen)} bytes an id at {len(seen)}"
    assert len(seen) == 20_000


def test_a_stored_set_is_the_same_set() -> None:
    seen = DedupSet()
    for number in range(1_000):
        seen.add(str(number))
    loaded = DedupSet.decode(seen.encode())
    assert len(loaded) == 1_000
    assert all(str(number) in loaded for number in range(1_000))
    assert "1000" not in loaded
    assert loaded.encode() == seen.encode()


@pytest.mark.trap("R1")
@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-1], lambda data: data + b"\0"])
def test_a_set_that_cannot_be_read_is_an_error_and_never_empty(damage) -> None:  # type: ignore[no-untyped-def]
    seen = DedupSet()
    seen.add("a")
    with pytest.raises(CoreError) as caught:
        DedupSet.decode(damage(seen.encode()))
    assert caught.value.args[0] == "damaged"


def test_a_set_of_a_newer_version_says_so() -> None:
    import zlib

    body = bytearray(DedupSet().encode()[:-4])
    body[1] += 1
    with pytest.raises(CoreError) as caught:
        DedupSet.decode(bytes(body) + zlib.crc32(body).to_bytes(4, "little"))
    code, words = caught.value.args
    assert code == "too_new"
    assert "newer" in words
