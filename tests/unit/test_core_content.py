"""The door of history: whatever comes to it, what is admitted is content that the strict model server takes (I11)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pictures import PNG, UNUSABLE, WHOLE, image

from infinity._core import CoreError, admit, repaired, weight
from infinity.testing.messages_rules import check

TEXT = {"type": "text", "text": "look"}


def admitted(*blocks: Any) -> list[dict[str, Any]]:
    """What a tool's content becomes; checked as the API checks it, as a person's message and as a result."""
    once, _ = admit(json.dumps(blocks).encode(), strict=False)
    assert admit(once, strict=False) == (once, []), "admitting what was admitted changes nothing"
    content: list[dict[str, Any]] = json.loads(once)
    call = {"type": "tool_use", "id": "a", "name": "a", "input": {}}
    messages = [
        {"role": "user", "content": content},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": content}]},
    ]
    assert check({"model": "m", "max_tokens": 1, "messages": messages}) == []
    return content


def refusal(*blocks: Any) -> str:
    with pytest.raises(CoreError) as caught:
        admit(json.dumps(blocks).encode(), strict=True)
    code, text = caught.value.args
    assert code == "bad_request"
    return str(text)


@pytest.mark.trap("L20")
@pytest.mark.parametrize("name", UNUSABLE)
def test_what_no_model_can_look_at_is_a_sentence_for_a_tool_and_a_refusal_for_a_person(name: str) -> None:
    content = admitted(TEXT, UNUSABLE[name])
    assert content[0] == TEXT
    assert content[1]["type"] == "text" and content[1]["text"].startswith("[left out: ")
    assert refusal(TEXT, UNUSABLE[name]).startswith("content[1]: ")


@pytest.mark.parametrize("said", ["image/png", "image/jpeg", "image/jpg", "image/bmp", "text/plain", ""])
@pytest.mark.parametrize("media_type", WHOLE)
def test_the_media_type_is_what_the_bytes_are(media_type: str, said: str) -> None:
    (block,) = admitted(image(WHOLE[media_type], said))
    assert block == image(WHOLE[media_type], media_type)
    assert json.loads(admit(json.dumps([image(WHOLE[media_type], said)]).encode(), strict=True)[0]) == [block]


@pytest.mark.parametrize("media_type", WHOLE)
def test_an_image_cut_off_at_any_byte_is_noticed(media_type: str) -> None:
    whole = WHOLE[media_type]
    for length in range(len(whole)):
        (block,) = admitted(image(whole[:length], media_type))
        assert block["type"] == "text", f"cut off at {length} of {len(whole)}"


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_use", "id": "a", "name": "a", "input": {}},
        {"type": "tool_result", "tool_use_id": "a", "content": []},
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "server_tool_use", "id": "x"},
        {"type": "search_result"},
        {"type": ["text"]},
        {"kind": "text"},
        {"type": "text", "text": None},
        {"type": "text", "text": ["a"]},
        7,
        None,
        "text",
    ],
)
def test_blocks_that_a_sender_cannot_make_never_reach_history(block: Any) -> None:
    assert admitted(TEXT, block)[1]["type"] == "text"
    assert refusal(TEXT, block).startswith("content[1]: ")


def test_fields_that_the_api_may_not_know_are_taken_out_for_a_tool_and_refused_to_a_person() -> None:
    marked = {**TEXT, "cache_control": {"type": "ephemeral"}}
    assert admitted(marked) == [TEXT]
    assert "cache_control" in refusal(marked)
    assert admitted({**TEXT, "citations": []}) == [TEXT]
    assert "citations" in refusal({**TEXT, "citations": []})


def test_text_loses_what_no_decoder_takes_and_nothing_else() -> None:
    raw = rb'[{"type":"text","text":"a\u0000b\ud83d\ude00\ud83dc\u0001"}]'
    (block,) = json.loads(admit(raw, strict=False)[0])
    assert block["text"] == "ab\U0001f600\ufffdc\x01"
    kept = rb'[ {"type" : "text", "text": "caf\u00e9"} ]'
    assert json.loads(admit(kept, strict=True)[0]) == [{"type": "text", "text": "café"}]


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=40))
def test_json_with_any_halves_of_characters_can_be_decoded(text: str) -> None:
    for written in (
        json.dumps(text).encode(),
        b'"' + json.dumps(text, ensure_ascii=False)[1:-1].encode(errors="surrogatepass") + b'"',
    ):
        sound = repaired(written)
        assert json.loads(sound.decode()).encode() is not None
        assert repaired(sound) == sound
    expected = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert json.loads(repaired(json.dumps(text).encode())) == expected


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.just(image(PNG)["source"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
strange = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image", "document", "tool_result", "x"])},
    optional={"text": json_values, "source": json_values, "title": json_values, "content": json_values},
)


@given(st.lists(strange | json_values, max_size=4))
def test_any_content_is_admitted_in_a_form_that_the_api_takes(blocks: list[Any]) -> None:
    assert admitted(*blocks)


def test_deep_nesting_and_absurd_numbers_are_survived() -> None:
    deep = b'[{"type":"text","text":"x","y":' + b"[" * 100_000 + b"]" * 100_000 + b"}]"
    assert json.loads(admit(deep, strict=False)[0])[0]["type"] == "text"
    huge = b'[{"type":"text","text":"x","y":1e99999,"z":' + b"9" * 5_000 + b"}]"
    assert json.loads(admit(huge, strict=False)[0]) == [{"type": "text", "text": "x"}]


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b"[", b'"text"', b"\xff", b"[1"])
def test_what_is_no_array_of_blocks_is_refused_in_words(content: bytes) -> None:
    with pytest.raises(CoreError, match="array of content blocks"):
        admit(content, strict=False)


def test_an_image_weighs_what_it_shows_and_not_its_bytes() -> None:
    assert weight(json.dumps([image(PNG * 10_000)], separators=(",", ":")).encode()) < 6_000
    text = json.dumps([{"type": "text", "text": "x" * 10_000}]).encode()
    assert weight(text) == len(text)
