"""Slack's side: what it signed, and the two calls of its Web API that the bridge makes."""

import hmac
import time
from collections.abc import Mapping
from typing import Any

import aiohttp

MAX_AGE_SECONDS = 300


def is_signed(secret: bytes, headers: Mapping[str, str], body: bytes) -> bool:
    """Signature v0 over timestamp and body. An old one is refused, so that a recorded request cannot be played again."""
    stamp = headers.get("X-Slack-Request-Timestamp", "")
    if not secret or not stamp.isdigit() or abs(time.time() - int(stamp)) > MAX_AGE_SECONDS:
        return False
    expected = "v0=" + hmac.new(secret, f"v0:{stamp}:".encode() + body, "sha256").hexdigest()
    return hmac.compare_digest(headers.get("X-Slack-Signature", "").encode(), expected.encode())


class Slack:
    def __init__(self, http: aiohttp.ClientSession, url: str, token: str) -> None:
        self._http = http
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}

    async def reply(self, channel: str, thread: str, text: str, id: str) -> None:
        """``id`` travels in the message's metadata, where ``replied`` finds it."""
        metadata = {"event_type": "infinity_turn", "event_payload": {"id": id}}
        await self._call(
            "chat.postMessage", {"channel": channel, "thread_ts": thread, "text": text, "metadata": metadata}
        )

    async def replied(self, channel: str, thread: str) -> set[str]:
        """The ids of all replies that are in a thread already."""
        found: set[str] = set()
        cursor = ""
        while True:
            query = {"channel": channel, "ts": thread, "include_all_metadata": True, "cursor": cursor}
            page = await self._call("conversations.replies", query)
            for message in page["messages"]:
                found.add(message.get("metadata", {}).get("event_payload", {}).get("id", ""))
            cursor = page.get("response_metadata", {}).get("next_cursor", "")
            if not cursor:
                return found

    async def _call(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        async with self._http.post(f"{self._url}/{method}", json=body, headers=self._headers) as response:
            response.raise_for_status()
            answer: dict[str, Any] = await response.json()
        if not answer["ok"]:
            raise aiohttp.ClientError(f"Slack refused {method}: {answer.get('error')}")
        return answer
