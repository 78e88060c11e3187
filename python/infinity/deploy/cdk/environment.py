"""The variables of the functions: the table of docs/internals/cloud.md, secrets by reference, and the 4 KB
that all of them may have.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jsii
from aws_cdk import Stack
from constructs import Construct, IValidation

from infinity.errors import ConfigError

__all__ = ["LARGEST", "SizeCheck", "grant_secret", "reference"]

LARGEST = 4096
"""Bytes that a function's variables may have, names included."""
_UNKNOWN = 150
"""Bytes of what is known when it is deployed only; ARNs and URLs are shorter."""


def reference(secret: Any) -> str:
    """What a variable says so that its value is read when the process starts; the secret itself is in no
    template (S9).

    Args:
        secret: An ``ISecret``, a pair of one and a key of its JSON, or an ``IStringParameter``.

    Raises:
        ConfigError: for anything else, above all a text, which would be the secret in the clear.
    """
    match secret:
        case (holder, str(key)):
            return f"secretsmanager:{holder.secret_arn}#{key}"
        case _ if hasattr(secret, "secret_arn"):
            return f"secretsmanager:{secret.secret_arn}"
        case _ if hasattr(secret, "parameter_name"):
            return f"ssm:{secret.parameter_name}"
    raise ConfigError(
        f"{secret!r} is not a secret: give an ISecret of aws_secretsmanager, a pair of one and a key of its JSON, or an IStringParameter of aws_ssm"
    )


def grant_secret(secret: Any, role: Any) -> None:
    """Allow a role to read this one secret, in any form that ``reference`` takes."""
    holder = secret[0] if isinstance(secret, tuple) else secret
    holder.grant_read(role)


@jsii.implements(IValidation)
class SizeCheck:
    """Fails the synthesis if the variables of a function would not fit.

    Args:
        scope: Whose stack resolves what is not known yet.
        name: The function's, for the text.
        variables: May grow until the synthesis.
    """

    def __init__(self, scope: Construct, name: str, variables: Mapping[str, str]) -> None:
        self._scope, self._name, self._variables = scope, name, variables

    def validate(self) -> list[str]:
        # Only at the synthesis are most values known; what is not is estimated.
        resolved = Stack.of(self._scope).resolve(dict(self._variables))
        size = sum(len(name) + _size(value) for name, value in resolved.items())
        if size <= LARGEST:
            return []
        return [
            f"the variables of the function {self._name} have about {size} bytes, and Lambda takes {LARGEST}; put more into infinity.toml, or the values into Secrets Manager"
        ]


def _size(value: Any) -> int:
    """Of a value with parts that are only known later."""
    if isinstance(value, str):
        return len(value.encode())
    match value:
        case {"Fn::Join": [_, list(parts)]}:
            return sum(map(_size, parts))
        case {"Fn::Sub": str(text)}:
            return len(text.encode()) + _UNKNOWN
    return _UNKNOWN if isinstance(value, dict) else len(json.dumps(value))
