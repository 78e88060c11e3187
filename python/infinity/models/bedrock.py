"""Claude on Amazon Bedrock, through the Bedrock client of Anthropic's SDK (extra ``bedrock``): Messages
requests signed for AWS, answers as an AWS event stream.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from infinity.abc.model import ModelInfo, ModelRequest
from infinity.errors import (
    ConfigError,
    InvalidModelRequest,
    ModelAuthentication,
    ModelError,
    ModelUnavailable,
    Overloaded,
    RateLimited,
)

from . import claude, failure
from .access import Access, ModelTimeouts
from .anthropic_sdk import AnthropicSdkModel
from .events import Failure
from .request import betas

if TYPE_CHECKING:
    from anthropic import AsyncAnthropicBedrock

PROVIDER = "bedrock"

# The exceptions of InvokeModelWithResponseStream, without "Exception": over HTTP they begin in upper case, in
# a stream in lower case.
_BY_NAME: dict[str, type[ModelError]] = {
    "accessdenied": ModelAuthentication,
    "expiredtoken": ModelAuthentication,
    "unrecognizedclient": ModelAuthentication,
    "invalidsignature": ModelAuthentication,
    "internalserver": ModelUnavailable,
    "modelerror": ModelUnavailable,
    "modelnotready": Overloaded,
    "modelstreamerror": ModelUnavailable,
    "modeltimeout": ModelUnavailable,
    "resourcenotfound": InvalidModelRequest,
    "servicequotaexceeded": RateLimited,
    "serviceunavailable": Overloaded,
    "throttling": RateLimited,
    "validation": InvalidModelRequest,
}


@dataclass(frozen=True, slots=True, repr=False)
class AwsIdentity:
    """Who signs. Without keys and profile, whatever boto3 finds: the environment, a role. Has no ``repr``
    (S9).
    """

    region: str
    profile: str | None = None
    access_key: str | None = None
    secret_key: str | None = None
    session_token: str | None = None


class BedrockModel(AnthropicSdkModel):
    """The models of one region."""

    stream_type = "application/vnd.amazon.eventstream"

    def __init__(
        self, identity: AwsIdentity, access: Access | None = None, timeouts: ModelTimeouts | None = None
    ) -> None:
        """Take the region; boto3 is asked with the first request.

        Args:
            identity: who signs, and in which region.
            access: a bearer token in ``api_key`` is used instead of a signature; another address than
                the region's.
            timeouts: how long is waited for it.
        """
        super().__init__(access or Access(base_url=endpoint(identity.region), provider="Bedrock"), timeouts)
        self._identity = identity

    def info(self, model_id: str) -> ModelInfo:
        """What is known of a model.

        Args:
            model_id: a model id (``anthropic.claude-opus-4-8``), an inference profile (``us.anthropic.…``),
                or its ARN.
        """
        return replace(claude.info(model_id), name=f"{PROVIDER}/{model_id}", provider=PROVIDER)

    async def list(self) -> builtins.list[ModelInfo]:
        """The models of the built-in table.

        What an account may use is known only to Bedrock's control plane, under other permissions.
        """
        return [self.info(f"anthropic.{model.id}") for model in claude.MODELS]

    async def _create(self, request: ModelRequest) -> Any:
        from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

        try:
            return await super()._create(request)
        except (BotoCoreError, RuntimeError) as error:
            # RuntimeError is what the SDK raises when boto3 finds no credentials.
            raise ModelAuthentication(
                f"the request to Bedrock cannot be signed: {error}; check the AWS credentials or the profile"
            ) from error

    def _headers(self, request: ModelRequest) -> dict[str, str]:
        beta = betas(request.model)
        return {"anthropic-beta": beta} if beta else {}

    def _open(self) -> AsyncAnthropicBedrock:
        import anthropic

        identity = self._identity
        try:
            return anthropic.AsyncAnthropicBedrock(
                aws_region=identity.region,
                aws_profile=identity.profile,
                aws_access_key=identity.access_key,
                aws_secret_key=identity.secret_key,
                aws_session_token=identity.session_token,
                api_key=self._access.api_key,
                **self._transport(),
            )
        except ValueError as error:
            raise ConfigError(f"[models.providers.bedrock]: {error}") from error

    def _translate(self, error: Any) -> ModelError:
        body = error.body if isinstance(error.body, dict) else {}
        headers: Mapping[str, str] = error.response.headers
        # An error in the middle of the stream: its name is in the body, not in a header.
        if error.status_code == 200:
            described = msgspec.convert(body.get("error") or {}, Failure, strict=False)
            return failure.error_of(_kind(described.type) or ModelUnavailable, described)
        described = Failure(
            headers.get("x-amzn-errortype", "").partition(":")[0], str(body.get("message") or "")
        )
        return failure.error_of(
            _kind(described.type) or failure.by_status(error.status_code),
            described,
            status=error.status_code,
            retry_after=failure.retry_after(headers),
            request_id=headers.get("x-amzn-requestid"),
        )


def endpoint(region: str) -> str:
    """The address of Bedrock's runtime in a region.

    Args:
        region: of AWS.
    """
    return f"https://bedrock-runtime.{region}.amazonaws.com"


def _kind(name: str) -> type[ModelError] | None:
    return _BY_NAME.get(name.lower().removesuffix("exception"))
