"""Settings that name a secret instead of holding it: ``secretsmanager:NAME``, ``secretsmanager:NAME#key``,
``ssm:NAME``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from infinity.errors import ConfigError, InfinityError, StoreError

from .client import Aws
from .failure import AwsError

__all__ = ["resolve"]

_SECRET = "secretsmanager:"  # noqa: S105 - a prefix
_PARAMETER = "ssm:"


async def resolve(environment: Mapping[str, str], aws: Aws) -> dict[str, str]:
    """The environment with its references replaced by what they name.

    All are fetched at once, each secret once, however many settings name it. ``NAME`` may be an ARN;
    ``#key`` takes one member of a secret that is a JSON object; parameters are decrypted.

    Args:
        environment: variables by name.
        aws: the client.

    Raises:
        ConfigError: lists every setting that could not be read, and why. Values are in no message (S9).
        StoreError: the same, where it may be different in a moment.
    """
    sources = {
        variable: source for variable, value in environment.items() if (source := _source(value)) is not None
    }
    if not sources:
        return dict(environment)
    # Each secret once: every request is paid for.
    wanted = list(dict.fromkeys((service, name) for service, name, _ in sources.values()))
    answers = await asyncio.gather(*(_fetch(aws, *each) for each in wanted), return_exceptions=True)
    fetched = dict(zip(wanted, answers, strict=True))
    resolved, problems, away = dict(environment), [], True
    for variable, (service, name, key) in sources.items():
        try:
            found = fetched[service, name]
            if isinstance(found, BaseException):
                raise found
            resolved[variable] = found if key is None else _member(found, key)
        except InfinityError as error:
            # Only if all of them may be different in a moment is waiting worth it.
            away = away and isinstance(error, AwsError) and error.retryable
            problems.append(f"{variable} ({environment[variable]}): {error}")
    if problems:
        # A service that is busy is no mistake of anybody, and is asked again.
        kind = StoreError if away else ConfigError
        raise kind("these settings could not be read:\n" + "\n".join(problems))
    return resolved


def _source(value: str) -> tuple[str, str, str | None] | None:
    """Service, name and key of a reference."""
    if value.startswith(_SECRET):
        name, mark, key = value.removeprefix(_SECRET).partition("#")
        return "secretsmanager", name, key if mark else None
    if value.startswith(_PARAMETER):
        return "ssm", value.removeprefix(_PARAMETER), None
    return None


async def _fetch(aws: Aws, service: str, name: str) -> str:
    if not name:
        raise ConfigError("it names nothing; write secretsmanager:NAME or ssm:NAME")
    if service == "ssm":
        answer = await aws.json("ssm", "GetParameter", {"Name": name, "WithDecryption": True})
        return str(answer["Parameter"]["Value"])
    answer = await aws.json("secretsmanager", "GetSecretValue", {"SecretId": name})
    if not isinstance(answer.get("SecretString"), str):
        raise ConfigError("the secret is binary; store text")
    return str(answer["SecretString"])


def _member(text: str, key: str) -> str:
    try:
        document: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        # `from None`: the error's own words repeat parts of the secret.
        raise ConfigError("the secret is not JSON, so it has no keys; leave out what follows '#'") from None
    value = document.get(key) if isinstance(document, dict) else None
    if isinstance(value, bool | int | float):
        return msgspec.json.encode(value).decode()
    if not isinstance(value, str):
        raise ConfigError(f"the secret has no text under the key {key!r}")
    return value
