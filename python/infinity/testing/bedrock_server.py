"""Bedrock's ``invoke-with-response-stream`` on a loopback port: signed requests in, an AWS event stream
out, driven by a script.

Signatures and frames are made here anew from AWS's description, and not with the code under test, so
that a mistake in one is no mistake of the other.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from binascii import crc32
from collections.abc import Iterable, Iterator
from struct import pack
from typing import Any
from urllib.parse import quote

import msgspec
from aiohttp import web

from infinity.models.playback import Playback
from infinity.models.prompt_view import read_prompt
from infinity.models.script import Break, Fail, Pause, Script

from .messages_rules import check
from .scripted_server import Respond, ScriptedServer, json_response

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<date>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, "
    r"SignedHeaders=(?P<headers>[^,]+), Signature=(?P<signature>[0-9a-f]{64})"
)
_EXCEPTIONS = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
_STRING = 7
"""The type of a header's value in an event stream."""


class BedrockServer(ScriptedServer):
    """The server; see ``ScriptedServer`` for how to use it."""

    def __init__(
        self,
        respond: Script | Respond,
        *,
        api_key: str | None = None,
        secret_key: str | None = None,
    ) -> None:
        """Take what it answers.

        Args:
            respond: from a request to the reply.
            api_key: a bearer token that requests may carry instead of a signature.
            secret_key: requests must carry a SigV4 signature made with it.
        """
        super().__init__(respond, api_key=api_key)
        self.secret_key = secret_key
        self.models: list[str] = []
        """The model ids that were asked for."""

    def routes(self) -> Iterable[web.RouteDef]:
        return [web.post("/model/{model}/invoke-with-response-stream", self._invoke)]

    def refusal(self, fail: Fail) -> web.Response:
        headers = dict(fail.headers)
        if name := _EXCEPTIONS.get(fail.status):
            headers["x-amzn-errortype"] = f"{name}:http://internal.amazon.com/coral/com.amazon.bedrock/"
        return json_response({"message": fail.message}, fail.status, headers)

    def late_error(self, fail: Fail) -> bytes:
        name = _EXCEPTIONS.get(fail.status, "ServiceUnavailableException")
        kind = name[0].lower() + name[1:]
        return frame(
            {":message-type": "exception", ":exception-type": kind, ":content-type": "application/json"},
            msgspec.json.encode({"message": fail.message}),
        )

    async def _invoke(self, request: web.Request) -> web.StreamResponse:
        content = await request.read()
        model = request.match_info["model"]
        recorded = self.record(request, content, lambda body: _problems(body, model))
        self.models.append(model)
        if (problem := self._signature_problem(request, content)) is not None:
            return await self.refuse(Fail(403, "", problem, None))
        if recorded.violations:
            return await self.refuse(Fail(400, "", "; ".join(recorded.violations), None))
        await self.announce()
        reply = await self.reply_to(recorded.body)
        seed = msgspec.json.encode(recorded.body, order="sorted")
        playback = Playback(reply, read_prompt(recorded.body), seed, model=model)
        return await self.send(request, reply, _framed(playback), "application/vnd.amazon.eventstream")

    def _signature_problem(self, request: web.Request, content: bytes) -> str | None:
        given = request.headers.get("authorization", "")
        if self.api_key is not None and given == f"Bearer {self.api_key}":
            return None
        if self.secret_key is None:
            return None if self.api_key is None else "The security token included in the request is invalid."
        found = _AUTHORIZATION.fullmatch(given)
        if found is None:
            return "Missing Authentication Token"
        if found["service"] != "bedrock":
            return "Credential should be scoped to correct service: 'bedrock'."
        # With the names that the request says it has signed.
        expected = signature(request, content, self.secret_key, found.groupdict())
        if not hmac.compare_digest(expected, found["signature"]):
            return "The request signature we calculated does not match the signature you provided."
        return None


def signature(request: web.Request, content: bytes, secret: str, scope: dict[str, str]) -> str:
    """The SigV4 signature of a request, from AWS's description: canonical request, string to sign, derived
    key.

    Args:
        request: as it arrived.
        content: its body.
        secret: the secret key.
        scope: ``date``, ``region``, ``service`` and ``headers`` (names joined by semicolons) of its
            authorisation.
    """
    names = scope["headers"].split(";")
    lines = "".join(f"{name}:{' '.join(request.headers[name].split())}\n" for name in names)
    path = quote(request.rel_url.raw_path, safe="/~")
    payload = hashlib.sha256(content).hexdigest()
    canonical = "\n".join(
        (request.method, path, request.rel_url.raw_query_string, lines, scope["headers"], payload)
    )
    where = f"{scope['date']}/{scope['region']}/{scope['service']}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{request.headers['x-amz-date']}\n{where}\n{digest}"
    key = f"AWS4{secret}".encode()
    for part in where.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """One message of ``application/vnd.amazon.eventstream``: lengths, their checksum, headers, payload,
    checksum of all.

    Args:
        headers: of the message, all texts.
        payload: any bytes.
    """
    head = b"".join(
        pack("!B", len(name)) + name.encode() + pack("!BH", _STRING, len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = pack("!II", 12 + len(head) + len(payload) + 4, len(head))
    message = prelude + pack("!I", crc32(prelude)) + head + payload
    return message + pack("!I", crc32(message))


def _framed(playback: Playback) -> Iterator[bytes | Pause | Break | Fail]:
    for event in playback.events():
        if not isinstance(event, dict):
            yield event
            continue
        if event["type"] == "ping":
            continue
        # Bedrock adds its own counts to the last event.
        if event["type"] == "message_stop":
            event = {
                **event,
                "amazon-bedrock-invocationMetrics": {"inputTokenCount": 1, "outputTokenCount": 1},
            }
        chunk = {"bytes": base64.b64encode(msgspec.json.encode(event)).decode(), "p": "abcdefgh"}
        yield frame(
            {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"},
            msgspec.json.encode(chunk),
        )


def _problems(body: Any, model: str) -> list[str]:
    if not isinstance(body, dict):
        return ["the request must be a JSON object"]
    # Bedrock takes both from the path, and refuses them in the body.
    problems = [f"{name}: Extra inputs are not permitted" for name in ("model", "stream") if name in body]
    if not body.get("anthropic_version"):
        problems.append("anthropic_version: Field required")
    return [*problems, *check({**body, "model": model})]
