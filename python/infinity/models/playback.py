"""A scripted reply as the events of a Messages stream, so that scripts and the real API meet the same
code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import msgspec

from .prompt_view import PromptView
from .script import Break, CallTool, Fail, Pause, Redacted, Reply, Say, Step, Think

StreamEvent = dict[str, Any]

_encode = msgspec.json.Encoder().encode
_WORD = re.compile(r"\S+\s*|\s+")
_ARGUMENTS_PIECE = 24


class Playback:
    """One reply to one request.

    Ids and token counts follow from the request's bytes, so the same request gets the same answer.
    """

    def __init__(self, reply: Reply, prompt: PromptView, request: bytes, *, model: str) -> None:
        """Play nothing yet.

        Args:
            reply: from the script.
            prompt: what the request says, for texts that are made of it.
            request: its bytes, from which ids and counts are made.
            model: the name that the answer gives.
        """
        self._reply = reply
        self._prompt = prompt
        self._request = request
        self._model = model
        self._seed = blake2b(request, digest_size=9).hexdigest()
        self._index = -1
        self._open = ""
        self._output = 0

    @property
    def first(self) -> Step | None:
        """The first step of the reply: a failure there is the HTTP answer."""
        return self._reply.steps[0] if self._reply.steps else None

    def events(self) -> Iterator[StreamEvent | Pause | Break | Fail]:
        """Events, and between them where the stream waits, breaks or fails; after a break or failure
        nothing follows.
        """
        yield {"type": "message_start", "message": self._message()}
        # As the API sends one, so that it is skipped in every test.
        yield {"type": "ping"}
        for step in self._reply.steps:
            if isinstance(step, Pause | Break | Fail):
                yield step
                if not isinstance(step, Pause):
                    return
                continue
            yield from self._block(step)
        yield from self._close()
        yield {
            "type": "message_delta",
            "delta": {"stop_reason": self._stop_reason(), "stop_sequence": None},
            "usage": {"output_tokens": self._reply.usage.get("output_tokens", self._output)},
        }
        yield {"type": "message_stop"}

    def _block(self, step: Say | Think | Redacted | CallTool) -> Iterator[StreamEvent]:
        match step:
            case Say(text):
                if self._open != "text":
                    yield from self._start("text", text="")
                yield from self._say(text if isinstance(text, str) else text(self._prompt))
            case Think(text, signature):
                yield from self._start("thinking", thinking="", signature="")
                for piece in pieces(text):
                    yield self._delta("thinking_delta", thinking=piece)
                sealed = signature if signature is not None else made_up_signature(text)
                if sealed:
                    yield self._delta("signature_delta", signature=sealed)
            case Redacted(data):
                yield from self._start("redacted_thinking", data=data)
            case CallTool(tool, arguments, given):
                call_id = given or f"toolu_{self._seed}_{self._index + 1}"
                yield from self._start("tool_use", id=call_id, name=tool, input={})
                text = arguments if isinstance(arguments, str) else _encode(arguments).decode()
                for start in range(0, len(text), _ARGUMENTS_PIECE):
                    yield self._delta("input_json_delta", partial_json=text[start : start + _ARGUMENTS_PIECE])

    def _say(self, text: str) -> Iterator[StreamEvent]:
        for piece in pieces(text):
            yield self._delta("text_delta", text=piece)

    def _start(self, kind: str, **fields: Any) -> Iterator[StreamEvent]:
        yield from self._close()
        self._index += 1
        self._open = kind
        yield {
            "type": "content_block_start",
            "index": self._index,
            "content_block": {"type": kind, **fields},
        }

    def _close(self) -> Iterator[StreamEvent]:
        if self._open:
            self._open = ""
            yield {"type": "content_block_stop", "index": self._index}

    def _delta(self, kind: str, **fields: str) -> StreamEvent:
        self._output += 1
        return {"type": "content_block_delta", "index": self._index, "delta": {"type": kind, **fields}}

    def _message(self) -> dict[str, Any]:
        counts = {"input_tokens": max(1, len(self._request) // 4), "output_tokens": 1}
        return {
            "id": f"msg_{self._seed}",
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {**counts, **self._reply.usage},
        }

    def _stop_reason(self) -> str:
        return self._reply.stop_reason or ("tool_use" if self._reply.calls else "end_turn")


def pieces(text: str) -> list[str]:
    """Words with the space after them; joined they are the text.

    Args:
        text: any.
    """
    return _WORD.findall(text)


def made_up_signature(text: str) -> str:
    """A signature that is the same for the same reasoning.

    Args:
        text: of the reasoning.
    """
    return blake2b(text.encode(), digest_size=24).hexdigest()
