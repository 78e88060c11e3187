"""A model that needs no network and no key: it answers from a script, the same request always the same
way.

Its answers pass through the same code as those of the Messages API, so that a test with it tests that
code too.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator

import msgspec

from infinity.abc.model import ModelInfo, ModelRequest, Part
from infinity.errors import ModelUnavailable

from . import failure
from .default_script import default_script
from .events import Event
from .playback import Playback
from .prompt_view import read_prompt
from .script import Break, Fail, Pause, Script
from .turn import OpenTurn

PROVIDER = "scripted"
DEFAULT = ModelInfo(f"{PROVIDER}/default", PROVIDER, "default")


class ScriptedModel:
    """``script``: what it answers; without one, the default script, which explains itself.

    ``pace``: seconds between the pieces of an answer.
    """

    def __init__(self, script: Script | None = None, *, pace: float = 0.0) -> None:
        """Take the script.

        Args:
            script: what it answers; without one, the default script, which explains itself.
            pace: seconds between the pieces of an answer.
        """
        self._script = script or default_script()
        self._pace = pace

    async def stream(self, request: ModelRequest) -> AsyncIterator[Part]:
        prompt = read_prompt(
            {
                "system": request.system,
                "tools": msgspec.json.decode(request.tools or b"[]"),
                "messages": msgspec.json.decode(request.messages),
            }
        )
        content = request.system.encode() + request.tools + request.messages
        playback = Playback(self._script.reply_to(prompt), prompt, content, model=request.model.id)
        turn = OpenTurn(request.counted)
        for event in playback.events():
            match event:
                case Pause(until):
                    await until.wait()
                case Break():
                    raise ModelUnavailable("the scripted answer broke off")
                case Fail():
                    raise failure.from_response(event.status, msgspec.json.encode(event.body), event.headers)
                case _:
                    part = turn.apply(msgspec.convert(event, Event))
                    if part is not None:
                        # Also with 0: other tasks get their turn, as between pieces from a network.
                        await asyncio.sleep(self._pace)
                        yield part
        yield turn.finish()

    async def list(self) -> builtins.list[ModelInfo]:
        return [DEFAULT]

    async def close(self) -> None:
        pass
