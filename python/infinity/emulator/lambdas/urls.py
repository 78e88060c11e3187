"""Function URLs: an HTTP front for one function, on a loopback port of its own. Payload format 2.0.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
"""

from __future__ import annotations

import base64
import json
import uuid
from datetime import UTC, datetime
from typing import Any, Literal

from aiohttp import web
from multidict import CIMultiDict

from ..clock import Timeline, WallClock
from ..failure import AwsError
from ..service import HOST, read
from ..signature import Credentials, Refusal, SignatureRefused, verify
from ..wire import Request
from .function import Function
from .invocation import MAX_PAYLOAD, Outcome

__all__ = ["Auth", "FunctionUrl"]

Auth = Literal["NONE", "AWS_IAM"]
_TEXT = (
    "text/",
    "application/json",
    "application/xml",
    "application/javascript",
    "application/x-www-form-urlencoded",
)


class FunctionUrl:
    """The URL of one function.

    Args:
        function: What is invoked, once for each request.
        auth: ``NONE``, or ``AWS_IAM`` for signed requests only.
        credentials: That requests are signed with.
        region: That they are signed for.
        account: Told to the function.
        timeline: The emulator's.
    """

    def __init__(
        self,
        function: Function,
        auth: Auth,
        credentials: Credentials,
        region: str,
        account: str,
        timeline: Timeline,
    ) -> None:
        self.function = function
        self.auth = auth
        self._credentials = credentials
        self._region = region
        self._account = account
        self._timeline = timeline
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/"

    async def start(self, port: int = 0) -> None:
        application = web.Application(client_max_size=2 * MAX_PAYLOAD)
        application.router.add_route("*", r"/{anything:[\s\S]*}", self._serve)
        # No cancellation: a caller that hangs up does not stop the function. Bodies pass as they come.
        self._runner = web.AppRunner(
            application, shutdown_timeout=0.5, access_log=None, auto_decompress=False
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, port).start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, arrived: web.Request) -> web.StreamResponse:
        try:
            request = await read(arrived)
        except web.HTTPRequestEntityTooLarge:
            return _error(
                413, f"Request must be smaller than {MAX_PAYLOAD} bytes for the InvokeFunction operation"
            )
        if self.auth == "AWS_IAM":
            # As in ``service.Front``: either clock may be the caller's.
            times = (self._timeline.now(), WallClock().now())
            try:
                verify(request, self._credentials, "lambda", self._region, times)
            except SignatureRefused as refused:
                message = "Forbidden" if refused.refusal is Refusal.MISSING else refused.message
                return _error(403, message, **{"x-amzn-ErrorType": f"{refused.refusal}Exception"})
        payload = json.dumps(self._event(request)).encode()
        try:
            outcome = await self.function.invoke(payload)
        except AwsError as error:
            return _error(error.status, error.message, **{"x-amzn-ErrorType": error.code})
        return _response(outcome)

    def _event(self, request: Request) -> dict[str, Any]:
        """What the function gets. Its own address is in ``requestContext.domainName``, with the port."""
        now = self._timeline.now()
        headers = {name: value for name, value in request.headers.items() if name != "cookie"}
        host = headers.get("host", f"{HOST}:{self.port}")
        # As Lambda sets them, whatever the caller sent: a function may trust them.
        headers |= {"x-forwarded-proto": "http", "x-forwarded-port": str(self.port), "x-forwarded-for": HOST}
        event: dict[str, Any] = {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": request.raw_path,
            "rawQueryString": request.raw_query,
            "headers": headers,
            "requestContext": {
                "accountId": self._account if self.auth == "AWS_IAM" else "anonymous",
                "apiId": self.function.name,
                "domainName": host,
                "domainPrefix": self.function.name,
                "http": {
                    "method": request.method,
                    "path": request.raw_path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": HOST,
                    "userAgent": headers.get("user-agent", ""),
                },
                "requestId": str(uuid.uuid4()),
                "routeKey": "$default",
                "stage": "$default",
                "time": datetime.fromtimestamp(now / 1000, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
                "timeEpoch": now,
            },
            "isBase64Encoded": False,
        }
        if self.auth == "AWS_IAM":
            event["requestContext"]["authorizer"] = {
                "iam": {"accessKey": self._credentials.access_key, "accountId": self._account}
            }
        if "cookie" in request.headers:
            event["cookies"] = [cookie.strip() for cookie in request.headers["cookie"].split(";")]
        if request.query:
            event["queryStringParameters"] = request.query
        if request.body:
            event |= _body(request)
        return event


def _body(request: Request) -> dict[str, Any]:
    kind = request.headers.get("content-type", "").lower()
    if kind.startswith(_TEXT) and "content-encoding" not in request.headers:
        try:
            return {"body": request.body.decode(), "isBase64Encoded": False}
        except UnicodeDecodeError:
            # Said to be text and is not: it travels as bytes.
            pass
    return {"body": base64.b64encode(request.body).decode(), "isBase64Encoded": True}


def _response(outcome: Outcome) -> web.Response:
    if outcome.error is not None:
        return _error(502, "Internal Server Error")
    try:
        value = outcome.value()
    except ValueError:
        return _error(502, "Internal Server Error")
    # Whatever is not a response by its form is the body of one, with status 200.
    if not isinstance(value, dict) or "statusCode" not in value:
        return web.Response(body=outcome.payload or b"null", content_type="application/json")
    try:
        return _written(value)
    except (TypeError, ValueError, AttributeError):
        return _error(502, "Internal Server Error")


def _written(value: dict[str, Any]) -> web.Response:
    headers = CIMultiDict({str(n): str(v) for n, v in (value.get("headers") or {}).items()})
    headers.setdefault("content-type", "application/json")
    for cookie in value.get("cookies") or ():
        headers.add("set-cookie", str(cookie))
    body = value.get("body")
    if not isinstance(body, str):
        body = "" if body is None else json.dumps(body)
    content = base64.b64decode(body) if value.get("isBase64Encoded") else body.encode()
    return web.Response(status=int(value["statusCode"]), body=content, headers=headers)


def _error(status: int, message: str, **headers: str) -> web.Response:
    return web.json_response({"Message": message}, status=status, headers=headers)
