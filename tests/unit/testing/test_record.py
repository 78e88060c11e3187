"""Recorded conversations: replayed as they were, with other ids and other people, and without anybody's secrets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infinity.abc import Model
from infinity.errors import ConfigError
from infinity.models.scripted import ScriptedModel
from infinity.testing import Kit, Recorder, Replay, Reply, Script, ToolServer
from infinity.testing.record import DEFAULT_RULES, Names, Rule
from infinity.testing.tool_server import Behaviour, tool

SCRIPT = (
    Script()
    .when("write to")
    .answer(
        lambda prompt: (
            Reply()
            .think("I need the tool.")
            .say("I write.")
            .call("mail", to=re.findall(r"\S+@\S+\w", prompt.text)[0])
            .call("mail", to="archive@example.org")
        )
    )
    .when_result("mail")
    .say(lambda prompt: f"Sent to {prompt.results[0].arguments['to']}.")
)


def mail() -> ToolServer:
    return ToolServer([tool("mail")], behaviour=Behaviour(text=lambda call: f"sent: {call.arguments['to']}"))


@pytest.fixture
async def recording(tmp_path: Path) -> Path:
    path = tmp_path / "answers.jsonl"
    async with (
        mail() as server,
        Kit(tmp_path / "recorded.db", model=Recorder(ScriptedModel(SCRIPT), path), servers=[server]) as kit,
    ):
        chat = await kit.conversation()
        said = await chat.ask("Write to ann@example.org. My key is sk-ant-api03-abcdefghijklmnop.")
        assert said == "Sent to ann@example.org."
    return path


async def test_a_replayed_conversation_goes_as_the_recorded_one_went(tmp_path: Path, recording: Path) -> None:
    async with mail() as server, Kit(tmp_path / "new.db", model=Replay(recording), servers=[server]) as kit:
        chat = await kit.conversation()
        said = await chat.ask("Write to ann@example.org. My key is sk-ant-api03-abcdefghijklmnop.")
        assert said == "Sent to ann@example.org."
        assert {call.arguments["to"] for call in server.invocations} >= {"ann@example.org"}
        assert len(server.invocations) == 2


async def test_another_person_gets_an_answer_about_themselves(tmp_path: Path, recording: Path) -> None:
    async with mail() as server, Kit(tmp_path / "new.db", model=Replay(recording), servers=[server]) as kit:
        chat = await kit.conversation()
        said = await chat.ask("Write to bob@elsewhere.net. My key is sk-ant-api03-ponmlkjihgfedcba.")
        assert said == "Sent to bob@elsewhere.net."


@pytest.mark.trap("S9")
def test_neither_keys_nor_addresses_are_in_a_recording(recording: Path) -> None:
    text = recording.read_text()
    for secret in ("sk-ant", "abcdefghijklmnop", "ann@", "archive@"):
        assert secret not in text
    assert "[email 1]" in text


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("key sk-ant-api03-abcdefghijklmnop1234", "key [key 1]"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "[key 1]"),
        ("AKIAIOSFODNN7EXAMPLE", "[key 1]"),
        ("Authorization: Bearer abc.def-ghi=", "Authorization: Bearer [key 1]"),
        ('{"password": "hunter2"}', '{"password": "[key 1]"}'),
        (r'"{\"api_key\":\"s3cr3t\"}"', r'"{\"api_key\":\"[key 1]\"}"'),
        ("postgres://me:pa55@db.example/x", "postgres://me:[key 1]@db.example/x"),
        ("ann@example.org, bob@example.org, ann@example.org", "[email 1], [email 2], [email 1]"),
        ("call +49 30 1234567 now", "call [phone 1] now"),
        ("DE89 3704 0044 0532 0130 00", "[iban 1]"),
        ("4111 1111 1111 1111", "[card 1]"),
        ("from 10.0.0.12", "from [address 1]"),
        (f"call_{'0a' * 15} and toolu_01Xyz", "[id 1] and [id 2]"),
        ("call_center, thread_pool, 12 parcels, 2026-11-23", None),
    ],
)
def test_what_must_not_be_kept_is_hidden_and_shown_again(text: str, hidden: str | None) -> None:
    names = Names(DEFAULT_RULES)
    assert names.hide(text) == (text if hidden is None else hidden)
    assert names.show(names.hide(text)) == text


def test_rules_of_ones_own_hide_what_has_no_shape() -> None:
    names = Names([*DEFAULT_RULES, Rule("person", re.compile("Ann Smith"))])
    assert names.hide("Ann Smith <ann@example.org>") == "[person 1] <[email 1]>"


async def test_a_request_that_was_not_recorded_says_so(tmp_path: Path, recording: Path) -> None:
    async with Kit(tmp_path / "new.db", model=Replay(recording)) as kit:
        chat = await kit.conversation("Something else.")
        await kit.rest()
        rows = await kit.runtime.store.feed(chat.id)
        problems = [row.body.decode() for row in rows if row.kind == "problem"]
        assert len(problems) == 1
        assert "Something else." in problems[0]
        assert "record it again" in problems[0]


async def test_what_failed_fails_again_and_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    recorder = Recorder(ScriptedModel(Script.sequence(Reply().fail(529), "Here I am.")), path)
    assert await asked(tmp_path / "recorded.db", recorder) == ["Here I am."]
    assert await asked(tmp_path / "replayed.db", Replay(path)) == ["Here I am."]
    assert path.read_text().count("Overloaded") == 1


async def asked(path: Path, model: Model) -> list[str]:
    async with Kit(path, model=model) as kit:
        chat = await kit.conversation("Are you there?")
        await kit.advance(minutes=1)
        assert len(kit.model.requests) == 2
        return await chat.said()


@pytest.mark.parametrize("content", [None, b"", b"{}\n", b'{"recording": 99}\n', b"\xff\xfe"])
def test_what_is_no_recording_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "answers.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"answers\.jsonl"):
        Replay(path)
