"""Events arrive whole, wherever the network cuts them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity.models import sse
from infinity.models.sse import EventSplitter, EventTooLong

LINE_ENDS = (b"\n", b"\r\n", b"\r")
STREAM = (
    ": a comment\n"
    'event: message_start\ndata: {"type":"message_start","text":"ä€😀"}\n'
    "\n"
    "event: ping\ndata:{}\nid: 7\nretry: 1\n\n"
    "data: first\ndata: second\n\n"
    "\n"
    "event: nothing\n\n"
    "data: last\n\n"
    "data: never finished"
).encode()
EVENTS = ['{"type":"message_start","text":"ä€😀"}'.encode(), b"{}", b"first\nsecond", b"last"]


def split(chunks: list[bytes]) -> list[bytes]:
    splitter = EventSplitter()
    return [event for chunk in chunks for event in splitter.feed(chunk)]


@pytest.mark.parametrize("line_end", LINE_ENDS, ids=["LF", "CRLF", "CR"])
def test_a_stream_may_be_cut_at_any_byte(line_end: bytes) -> None:
    stream = STREAM.replace(b"\n", line_end)
    for border in range(len(stream) + 1):
        assert split([stream[:border], stream[border:]]) == EVENTS, border


@pytest.mark.parametrize("line_end", LINE_ENDS, ids=["LF", "CRLF", "CR"])
def test_a_stream_may_arrive_byte_by_byte(line_end: bytes) -> None:
    stream = STREAM.replace(b"\n", line_end)
    assert split([bytes([byte]) for byte in stream]) == EVENTS


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1)),
    st.sampled_from(LINE_ENDS),
    st.lists(st.integers(min_value=0, max_value=500)),
)
def test_any_events_survive_any_cuts(texts: list[str], line_end: bytes, borders: list[int]) -> None:
    stream = b"".join(b"data: " + text.encode() + line_end * 2 for text in texts)
    cuts = [0, *sorted(min(border, len(stream)) for border in borders), len(stream)]
    # The last line end of a CR stream could be half of a CRLF; it counts when the next byte is there.
    chunks = [stream[start:end] for start, end in pairwise(cuts)] + [b": end\n"]
    assert split(chunks) == [text.encode() for text in texts]


def test_an_event_without_an_end_is_not_an_event() -> None:
    assert split([b"data: half\n"]) == []


def test_an_endless_event_is_refused_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "EVENT_BYTES", 100)
    splitter = EventSplitter()
    assert splitter.feed(b"data: " + b"x" * 50 + b"\n\n") != []
    assert splitter.feed(b"data: " + b"x" * 90) == []
    with pytest.raises(EventTooLong):
        splitter.feed(b"x" * 10)


def test_many_short_events_in_one_chunk_are_not_a_long_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "EVENT_BYTES", 100)
    assert len(EventSplitter().feed(b"data: x\n\n" * 1000)) == 1000
