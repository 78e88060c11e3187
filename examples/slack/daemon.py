"""The daemon's side: messages in, the event stream out. Address and token are in the home directory."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

HOME = Path(os.environ.get("INFINITY_HOME", "~/.infinity")).expanduser()


class Daemon:
    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def say(self, thread: str, text: str, *, user: str, key: str) -> None:
        """Durable when this returns. The same key again counts once; a thread that is there already stays as it is."""
        await self._post("/v1/threads", {"id": thread, "title": "Slack"}, {})
        body = {"content": text, "user_id": user}
        await self._post(f"/v1/threads/{thread}/messages", body, {"Idempotency-Key": key})

    async def turns(self, thread: str, after: int) -> AsyncIterator[tuple[int, str]]:
        """Position and text of everything that the agent says behind a position, until the connection is lost."""
        path = f"/v1/threads/{thread}/events"
        async with self._http.get(_url(path), params={"after": after}, headers=_headers()) as response:
            response.raise_for_status()
            fields: dict[str, str] = {}
            async for raw in response.content:
                name, _, value = raw.decode().rstrip("\n").partition(": ")
                if name:
                    fields[name] = value
                    continue
                if fields.get("event") == "entry":
                    entry = json.loads(fields["data"])
                    text = "\n".join(block["text"] for block in entry["assistant"] if block["type"] == "text")
                    if entry["kind"] == "turn" and text.strip():
                        yield int(fields["id"]), text
                fields = {}

    async def _post(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> None:
        async with self._http.post(_url(path), json=body, headers={**_headers(), **headers}) as response:
            response.raise_for_status()


def _url(path: str) -> str:
    return str(json.loads((HOME / "daemon.json").read_text())["address"]) + path


def _headers() -> dict[str, str]:
    return {"Authorization": f"Bearer {(HOME / 'token').read_text().strip()}"}
