"""What others wrote, spelled out where it cannot be seen, and nothing left out."""

from __future__ import annotations

import json

import pytest

from infinity.escaping import escape, escape_line, escape_text
from infinity.ids import is_id, is_user

STEERING = [
    "\x1b[2J",
    "\x07",
    "\x9b8m",
    "\u202e",
    "\u2066",
    "\u200e",
    "\u061c",
    "\r",
    "\x00",
    "\u2028",
    "\u2029",
    "\x85",
]
UNSEEN = [
    "\u200b",
    "\u2060",
    "\ufeff",
    "\u00ad",
    "\U000e0041",
    "\u180e",
    "\u3164",
    "\u2800",
    "\u115f",
    "\uffa0",
    "\u034f",
]
OF_SCRIPTS = ["\u200c", "\u200d", "\ufe0f", "\U000e0100"]


@pytest.mark.trap("S12")
@pytest.mark.parametrize(
    "hidden", [*STEERING, *UNSEEN, *OF_SCRIPTS, "\u00a0", "\u3000", "\n", "\t", "\ud800", "\ue000"]
)
def test_a_question_spells_out_every_character_that_is_not_plainly_seen(hidden: str) -> None:
    shown = escape(f"a{hidden}b")
    assert shown.isprintable() and shown.startswith("a") and shown.endswith("b")
    assert json.loads(f'"{shown}"') == f"a{hidden}b"


@pytest.mark.parametrize("hidden", STEERING)
def test_a_conversation_spells_out_what_a_terminal_obeys(hidden: str) -> None:
    shown = escape_text(f"a{hidden}b")
    assert hidden not in shown and f"\\u{ord(hidden[0]):04x}" in shown


@pytest.mark.parametrize(
    "text",
    [
        "می\u200cخواهم",
        "👩\u200d💻",
        "❤\ufe0f",
        "a\u00a0b",
        "1\u3000円",
        "first\nsecond\tthird",
        "ᄀ\u1160ᆨ",
        "葛\U000e0100",
    ],
)
def test_a_conversation_keeps_what_scripts_are_written_with(text: str) -> None:
    assert escape_text(text) == text


def test_a_cell_of_a_list_has_one_line() -> None:
    assert escape_line("a\nb\r\nc\td\x1b") == "a b c d\\u001b"


@pytest.mark.parametrize("id", [".", "..", "", "a/b", "a b", "ü"])
def test_an_id_that_no_path_can_hold_is_none(id: str) -> None:
    assert not is_id(id)


def test_ids_with_dots_in_them_are_taken() -> None:
    assert is_id("...") and is_id("a.b") and is_id(".a")


@pytest.mark.parametrize(
    "user",
    ["auth0|5f7c8ec7", "google-oauth2|1035", "o'brien@example.com", "jürgen@example.de", "CN=Ann, O=Example"],
)
def test_subjects_of_identity_providers_are_user_ids(user: str) -> None:
    assert is_user(user)


@pytest.mark.parametrize("user", ["", "   ", "a\nb", "a\x00", "a\u202eb", "a\u200bb", "x" * 257])
def test_a_user_id_with_something_hidden_in_it_is_refused(user: str) -> None:
    assert not is_user(user)
