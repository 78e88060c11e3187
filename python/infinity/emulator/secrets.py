"""AWS Secrets Manager and the parameter store of AWS Systems Manager.

Functions read their secrets here when they start. Values are kept in the clear, in memory and in a local
deployment's directory: no real secret belongs here.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .clock import Timeline
from .failure import AwsError
from .protocols import JsonService, Operation

__all__ = ["Parameters", "SecretsManager"]


@dataclass
class _Secret:
    name: str
    arn: str
    content: dict[str, Any]
    """``SecretString`` or ``SecretBinary``."""
    changed_at: int
    version: str = field(default_factory=lambda: str(uuid.uuid4()))


class SecretsManager(JsonService):
    """``create`` is for tests."""

    name = "secretsmanager"
    target = "secretsmanager"
    version = "1.1"
    namespace = "com.amazonaws.secretsmanager"

    def __init__(self, timeline: Timeline, region: str, account: str) -> None:
        super().__init__()
        self._timeline = timeline
        self._place = f"arn:aws:secretsmanager:{region}:{account}:secret:"
        self._secrets: dict[str, _Secret] = {}

    def offered(self) -> dict[str, Operation]:
        return {
            "CreateSecret": self._create,
            "GetSecretValue": self._get,
            "PutSecretValue": self._put,
        }

    def create(self, name: str, text: str) -> str:
        """Make a secret, or give it a new value; for tests.

        Returns:
            Its ARN.
        """
        if name in self._secrets:
            return str(self._put({"SecretId": name, "SecretString": text})["ARN"])
        return str(self._create({"Name": name, "SecretString": text})["ARN"])

    def kept(self) -> list[dict[str, Any]]:
        """What a snapshot keeps; ``restore`` takes it."""
        return [asdict(secret) for secret in self._secrets.values()]

    def restore(self, kept: list[dict[str, Any]]) -> None:
        """Take what ``kept`` gave, in place of what is there."""
        self._secrets = {each["name"]: _Secret(**each) for each in kept}

    def _create(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        name = arguments.get("Name")
        if not name:
            raise AwsError("InvalidParameterException", "You must provide a value for the Name parameter.")
        if name in self._secrets:
            message = f"The operation failed because the secret {name} already exists."
            raise AwsError("ResourceExistsException", message)
        # Six characters that make an ARN unlike that of a deleted secret of the same name.
        arn = f"{self._place}{name}-{uuid.uuid4().hex[:6]}"
        self._secrets[name] = _Secret(name, arn, _content(arguments), self._timeline.now())
        return self._told(self._secrets[name])

    def _put(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        secret = self._found(arguments)
        secret.content, secret.version = _content(arguments), str(uuid.uuid4())
        secret.changed_at = self._timeline.now()
        return self._told(secret)

    def _get(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        secret = self._found(arguments)
        # A secret without a value is answered like one that does not exist.
        if not secret.content:
            raise _no_value()
        return {
            **self._told(secret),
            **secret.content,
            "VersionStages": ["AWSCURRENT"],
            "CreatedDate": secret.changed_at / 1000,
        }

    def _found(self, arguments: Mapping[str, Any]) -> _Secret:
        wanted = arguments.get("SecretId")
        for secret in self._secrets.values():
            # By the name, the whole ARN, or the ARN without the six characters at its end, as on AWS.
            if wanted in (secret.name, secret.arn, secret.arn[:-7]):
                return secret
        raise _no_value()

    def _told(self, secret: _Secret) -> dict[str, Any]:
        return {"ARN": secret.arn, "Name": secret.name, "VersionId": secret.version}


def _no_value() -> AwsError:
    return AwsError("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")


def _content(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {n: arguments[n] for n in ("SecretString", "SecretBinary") if arguments.get(n) is not None}


class Parameters(JsonService):
    """``create`` is for tests."""

    name = "ssm"
    target = "AmazonSSM"
    version = "1.1"
    namespace = "com.amazonaws.ssm"

    def __init__(self, timeline: Timeline, region: str, account: str) -> None:
        super().__init__()
        self._timeline = timeline
        self._place = f"arn:aws:ssm:{region}:{account}:parameter"
        self._parameters: dict[str, dict[str, Any]] = {}

    def offered(self) -> dict[str, Operation]:
        return {
            "GetParameter": self._get,
            "PutParameter": self._put,
        }

    def create(self, name: str, text: str, *, secure: bool = True) -> None:
        """Make a parameter, or give it a new value; for tests. ``secure``: its value is given only to those
        who ask for decryption.
        """
        kind = "SecureString" if secure else "String"
        self._put({"Name": name, "Value": text, "Type": kind, "Overwrite": True})

    def kept(self) -> list[dict[str, Any]]:
        """What a snapshot keeps; ``restore`` takes it."""
        return list(self._parameters.values())

    def restore(self, kept: list[dict[str, Any]]) -> None:
        """Take what ``kept`` gave, in place of what is there."""
        self._parameters = {each["Name"]: each for each in kept}

    def _put(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        name, value, kind = (arguments.get(n) for n in ("Name", "Value", "Type"))
        known = self._parameters.get(str(name))
        if not name or not value or (known is None and kind not in ("String", "StringList", "SecureString")):
            raise AwsError("ValidationException", "Name, Value and Type are required.")
        if known is not None and not arguments.get("Overwrite"):
            message = "The parameter already exists. To overwrite this value, set the overwrite option in the request to true."
            raise AwsError("ParameterAlreadyExists", message)
        version = 1 if known is None else known["Version"] + 1
        self._parameters[name] = {
            "Name": name,
            "Value": value,
            "Type": kind or (known or {})["Type"],
            "Version": version,
            "ARN": f"{self._place}{'' if name.startswith('/') else '/'}{name}",
            "DataType": "text",
            "LastModifiedDate": self._timeline.now() / 1000,
        }
        return {"Version": version, "Tier": "Standard"}

    def _get(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        found = self._parameters.get(self._name(arguments.get("Name")))
        if found is None:
            raise AwsError("ParameterNotFound", "")
        return {"Parameter": self._shown(found, arguments)}

    def _name(self, given: object) -> str:
        """Names may come as ARNs."""
        name = str(given)
        return name.removeprefix(self._place) if name.startswith(self._place) else name

    def _shown(self, parameter: dict[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
        # A caller that forgot ``WithDecryption`` gets a text that is of no use, as on AWS.
        if parameter["Type"] != "SecureString" or arguments.get("WithDecryption"):
            return parameter
        return {
            **parameter,
            "Value": f"kms:alias/aws/ssm:{uuid.uuid5(uuid.NAMESPACE_URL, parameter['Value'])}",
        }
