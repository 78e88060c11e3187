"""What MCP servers ask the user, put as choices."""

from __future__ import annotations

from typing import Any

import pytest

VERSIONS = pytest.mark.parametrize("ways", [(), ("legacy",)], ids=["2026-07-28", "2025-11-25"])


@VERSIONS
@pytest.mark.rap("CHO-1")
async def test_a_form_becomes_a_choice_for_each_field(bridge: Any, ways: tuple[str, ...]) -> None:
    bridged = await bridge(*ways)
    await bridged.begin("ask_first")
    first = await bridged.choose(1, 0)
    assert first["prompt"] == "Before I order:\n\nAre you sure?"
    assert first["choices"] == ["Yes", "No", "Decline"] and first["default"] == 2
    second = await bridged.choose(2, 1)
    assert second["choices"] == ["small", "large", "Decline"]
    assert (await bridged.message("tool_result"))["text"] == "sure=True size=large"


@VERSIONS
async def test_a_dismissed_question_is_a_refusal(bridge: Any, ways: tuple[str, ...]) -> None:
    bridged = await bridge(*ways)
    await bridged.begin("ask_first")
    await bridged.choose(1, 2)
    assert (await bridged.message("tool_result"))["text"] == "not ordered: decline"


async def test_the_time_in_which_a_person_is_asked_is_not_the_servers(bridge: Any, runtime: Any) -> None:
    bridged = await bridge("legacy", call_timeout=1.0)
    await bridged.tools()
    await bridged.begin("ask")
    await bridged.message("user_choice")
    # Another call of the same patience comes to its end meanwhile.
    assert "no sign of life" in (await bridged.call("slow", "c2"))["text"]
    await bridged.choose(1, 0)
    await bridged.choose(2, 0)
    assert (await bridged.message("tool_result", "call_1"))["text"] == "sure=True size=small"


async def test_a_text_cannot_be_asked_and_the_model_is_told(bridge: Any) -> None:
    bridged = await bridge("legacy")
    text = (await bridged.call("ask_name"))["text"]
    assert text.startswith(
        "answer: decline\n[The server asked the user: 'Who are you?', and wanted name as text"
    )


async def test_a_page_to_visit_is_shown_in_full(bridge: Any) -> None:
    bridged = await bridge("legacy")
    await bridged.begin("ask_visit")
    question = await bridged.choose(1, 0)
    assert "https://pay.example/1" in question["prompt"]
    assert (await bridged.message("tool_result"))["text"] == "payment: accept"


@pytest.mark.trap("S11")
async def test_a_question_is_not_put_to_somebody_else(bridge: Any) -> None:
    bridged = await bridge("legacy")
    await bridged.begin("slow", "c1", "thread_of_ann")
    await bridged.begin("ask", "c2", "thread_of_ben")
    text = (await bridged.message("tool_result", "c2"))["text"]
    assert "it cannot be told which of them the question is for" in text
    assert not [each for each in bridged.runtime.callbacks if each["type"] == "user_choice"]


async def test_over_http_a_question_finds_its_call_among_several(bridge: Any, web_server: Any) -> None:
    process = await web_server()
    bridged = await bridge(url=process.url)
    await bridged.begin("slow", "c1", "thread_of_ann")
    await bridged.begin("ask_first", "c2", "thread_of_ben")
    question = await bridged.choose(1, 2)
    assert (question["group_id"], question["id"]) == ("thread_of_ben", "c2")
