"""A scripted reply as OpenAI's two APIs stream it."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import msgspec

from infinity.models.playback import made_up_signature, pieces
from infinity.models.script import Break, CallTool, Fail, Pause, Redacted, Reply, Say, Step, Think

Event = dict[str, Any]
Played = Event | Pause | Break | Fail
"""An event, or where the stream waits, breaks or fails."""

_ARGUMENTS_PIECE = 24


class _Playback:
    """Ids and token counts follow from the request's bytes, so the same request gets the same answer."""

    def __init__(self, reply: Reply, request: bytes, *, model: str) -> None:
        self._reply = reply
        self._model = model
        self._seed = blake2b(request, digest_size=9).hexdigest()
        self._size = max(1, len(request) // 4)
        self._output = 0

    def _steps(self) -> Iterator[Step]:
        """Texts said in a row are one."""
        said: list[str] = []
        for step in (*self._reply.steps, None):
            if isinstance(step, Say):
                if not isinstance(step.text, str):
                    raise ValueError("this server's replies say fixed texts")
                said.append(step.text)
                continue
            if said:
                yield Say("".join(said))
                said = []
            if step is not None:
                yield step

    def _counts(self) -> tuple[int, int, int, int]:
        """Input in all, of it read from and written to the cache, output."""
        usage = self._reply.usage
        read = usage.get("cache_read_input_tokens", 0)
        written = usage.get("cache_creation_input_tokens", 0)
        total = usage.get("input_tokens", self._size) + read + written
        return total, read, written, usage.get("output_tokens", self._output)


class ChatPlayback(_Playback):
    """Chunks of Chat Completions."""

    def __init__(
        self, reply: Reply, request: bytes, *, model: str, thoughts: str = "reasoning_content"
    ) -> None:
        """Play nothing yet.

        Args:
            reply: what is said.
            request: its bytes, from which ids and counts are made.
            model: the name that the answer gives.
            thoughts: the field that reasoning comes in; ``parts``: in parts of the content; empty: it
                is not told.
        """
        super().__init__(reply, request, model=model)
        self._thoughts = thoughts

    def _thought(self, piece: str) -> list[dict[str, Any]]:
        if self._thoughts == "parts":
            return [{"content": [{"type": "thinking", "thinking": [{"type": "text", "text": piece}]}]}]
        return [{self._thoughts: piece}] if self._thoughts else []

    def events(self) -> Iterator[Played]:
        """The chunks, and between them where the stream waits, breaks or fails."""
        yield self._chunk({"role": "assistant", "content": ""})
        calls = 0
        for step in self._steps():
            match step:
                case Pause():
                    yield step
                case Break() | Fail():
                    yield step
                    return
                case Say(str(text)):
                    yield from (self._chunk({"content": piece}) for piece in pieces(text))
                case Think(text):
                    yield from (
                        self._chunk(delta) for piece in pieces(text) for delta in self._thought(piece)
                    )
                case CallTool():
                    yield from self._call(step, calls)
                    calls += 1
        yield self._chunk({}, self._finish_reason())
        total, read, written, output = self._counts()
        details = {"cached_tokens": read, "cache_write_tokens": written}
        usage = {
            "prompt_tokens": total,
            "completion_tokens": output,
            "total_tokens": total + output,
            "prompt_tokens_details": details,
        }
        # Behind the end and without a choice, as OpenAI sends it.
        yield {**self._envelope(), "choices": [], "usage": usage}

    def _call(self, step: CallTool, index: int) -> Iterator[Event]:
        function = {"name": step.tool, "arguments": ""}
        call_id = step.id or f"call_{self._seed}_{index}"
        yield self._chunk(
            {"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]}
        )
        for piece in _arguments(step):
            yield self._chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})

    def _chunk(self, delta: Event, finish_reason: str | None = None) -> Event:
        self._output += 1
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._envelope(), "choices": [choice], "usage": None}

    def _envelope(self) -> Event:
        return {
            "id": f"chatcmpl-{self._seed}",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": self._model,
        }

    def _finish_reason(self) -> str:
        known = {
            "max_tokens": "length",
            "refusal": "content_filter",
            "tool_use": "tool_calls",
            "end_turn": "stop",
        }
        return known[self._reply.stop_reason or ("tool_use" if self._reply.calls else "end_turn")]


class ResponsesPlayback(_Playback):
    """Events of the Responses API. ``issued``: the encrypted reasoning of this reply."""

    def __init__(self, reply: Reply, request: bytes, *, model: str) -> None:
        """Play nothing yet.

        Args:
            reply: what is said.
            request: its bytes, from which ids and counts are made.
            model: the name that the answer gives.
        """
        super().__init__(reply, request, model=model)
        self._items: list[Event] = []
        self._number = -1
        self.issued: list[str] = []

    def events(self) -> Iterator[Played]:
        """The events, and between them where the stream waits, breaks or fails."""
        yield self._event("response.created", response=self._response("in_progress"))
        steps = list(self._steps())
        for step in steps:
            match step:
                case Pause():
                    yield step
                case Break() | Fail():
                    yield step
                    return
                case Say(str(text)):
                    yield from self._message(text)
                case Think(text, signature):
                    yield from self._reasoning(
                        text, made_up_signature(text) if signature is None else signature
                    )
                case Redacted(data):
                    yield from self._reasoning("", data)
                case CallTool():
                    yield from self._call(step, cut_off=self._cut_off and step is steps[-1])
        if self._cut_off:
            yield self._event("response.incomplete", response=self._response("incomplete"))
        else:
            yield self._event("response.completed", response=self._response("completed"))

    @property
    def _cut_off(self) -> bool:
        return self._reply.stop_reason in ("max_tokens", "refusal")

    def _message(self, text: str) -> Iterator[Event]:
        item = {
            "id": self._id("msg"),
            "type": "message",
            "role": "assistant",
            "status": "in_progress",
            "content": [],
        }
        yield from self._begin(item)
        where = {"item_id": item["id"], "content_index": 0}
        for piece in pieces(text):
            yield self._event("response.output_text.delta", **where, delta=piece, logprobs=[])
        content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
        yield self._end({**item, "content": content})

    def _reasoning(self, text: str, encrypted: str) -> Iterator[Event]:
        item: Event = {
            "id": self._id("rs"),
            "type": "reasoning",
            "summary": [],
            "encrypted_content": "unfinished",
        }
        yield from self._begin(item)
        where = {"item_id": item["id"], "summary_index": 0}
        if text:
            part = {"type": "summary_text", "text": ""}
            yield self._event("response.reasoning_summary_part.added", **where, part=part)
        for piece in pieces(text):
            yield self._event("response.reasoning_summary_text.delta", **where, delta=piece)
        summary = [{"type": "summary_text", "text": text}] if text else []
        self.issued.append(encrypted)
        yield self._end({**item, "summary": summary, "encrypted_content": encrypted})

    def _call(self, step: CallTool, *, cut_off: bool) -> Iterator[Event]:
        item = {
            "id": self._id("fc"),
            "type": "function_call",
            "call_id": step.id or f"call_{self._seed}_{len(self._items)}",
            "name": step.tool,
            "arguments": "",
            "status": "in_progress",
        }
        yield from self._begin(item)
        for piece in _arguments(step):
            yield self._event("response.function_call_arguments.delta", item_id=item["id"], delta=piece)
        whole = "".join(_arguments(step))
        yield self._end({**item, "arguments": whole, "status": "incomplete" if cut_off else "completed"})

    def _begin(self, item: Event) -> Iterator[Event]:
        yield self._event("response.output_item.added", item=item)

    def _end(self, item: Event) -> Event:
        done = self._event("response.output_item.done", item={"status": "completed", **_settled(item)})
        self._items.append(done["item"])
        return done

    def _event(self, kind: str, **fields: Any) -> Event:
        self._number += 1
        self._output += 1
        place = {} if "response" in fields else {"output_index": len(self._items)}
        return {"type": kind, "sequence_number": self._number, **place, **fields}

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{self._seed}_{len(self._items)}"

    def _response(self, status: str) -> Event:
        total, read, written, output = self._counts()
        details = {"cached_tokens": read, "cache_write_tokens": written}
        why = {"max_tokens": "max_output_tokens", "refusal": "content_filter"}
        return {
            "id": f"resp_{self._seed}",
            "object": "response",
            "created_at": 1,
            "model": self._model,
            "status": status,
            "error": None,
            "instructions": None,
            "metadata": {},
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "incomplete_details": {"reason": why[self._reply.stop_reason or ""]}
            if status == "incomplete"
            else None,
            "output": self._items,
            "usage": {
                "input_tokens": total,
                "input_tokens_details": details,
                "output_tokens": output,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": total + output,
            },
        }


def _settled(item: Event) -> Event:
    return {**item, "status": "completed"} if item.get("status") == "in_progress" else item


def _arguments(step: CallTool) -> list[str]:
    text = step.arguments if isinstance(step.arguments, str) else msgspec.json.encode(step.arguments).decode()
    return [text[start : start + _ARGUMENTS_PIECE] for start in range(0, len(text), _ARGUMENTS_PIECE)]
