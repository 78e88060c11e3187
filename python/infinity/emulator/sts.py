"""AWS Security Token Service: who am I."""

from __future__ import annotations

import uuid
from urllib.parse import parse_qs

from .failure import AwsError
from .protocols import error_document
from .signature import Refusal, SignatureRefused
from .wire import Reply, Request

__all__ = ["Sts"]

_CODES = {
    Refusal.MISSING: "MissingAuthenticationToken",
    Refusal.UNKNOWN_KEY: "InvalidClientTokenId",
    Refusal.MISMATCH: "SignatureDoesNotMatch",
}


class Sts:
    name = "sts"

    def __init__(self, account: str) -> None:
        self._account = account

    def operation(self, request: Request) -> str:
        action = parse_qs(request.body.decode(errors="replace")).get("Action", [""])[0]
        if action != "GetCallerIdentity":
            raise AwsError("InvalidAction", f"Could not find operation {action}")
        return action

    async def call(self, operation: str, request: Request) -> Reply:
        return Reply(
            200,
            (
                f'<{operation}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{operation}Result>'
                f"<Arn>arn:aws:iam::{self._account}:user/emulator</Arn><UserId>AIDAEMULATOR</UserId><Account>{self._account}</Account>"
                f"</{operation}Result><ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata></{operation}Response>"
            ).encode(),
            {"content-type": "text/xml"},
        )

    def failed(self, error: AwsError) -> Reply:
        body = error_document(error, str(uuid.uuid4()), wrapped=True)
        return Reply(error.status, body, {"content-type": "text/xml"})

    def refused(self, refused: SignatureRefused) -> Reply:
        code = _CODES.get(refused.refusal, "IncompleteSignature")
        return self.failed(AwsError(code, refused.message, 403))

    def throttled(self) -> AwsError:
        return AwsError("Throttling", "Rate exceeded")
