"""Where the services are: by region, or at a stand-in that ``AWS_ENDPOINT_URL`` names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from infinity.errors import ConfigError

__all__ = ["Endpoints", "function_region"]

_VARIABLES = {"secretsmanager": "SECRETS_MANAGER"}
"""How a service is called in ``AWS_ENDPOINT_URL_…``, where that is not its name."""
_BUCKET = re.compile(r"[a-z0-9-]{3,63}")
_FUNCTION = re.compile(r"[a-z0-9]+\.lambda-url\.(?P<region>[a-z0-9-]+)\.on\.aws")


class Endpoints:
    """Where each service is.

    ``AWS_ENDPOINT_URL_SQS`` and the like win over ``AWS_ENDPOINT_URL``, which wins over the service's
    own address.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Read the environment.

        Args:
            environment: variables by name.

        Raises:
            ConfigError: there is no region.
        """
        self.region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or ""
        if not self.region:
            raise ConfigError(
                "AWS_REGION is not set; set it to the region of the queues, such as eu-central-1"
            )
        self._environment = environment

    def url(self, service: str, path: str) -> str:
        """The URL of a request.

        Args:
            service: as in the name of its host.
            path: escaped already. Of S3 it begins with the bucket, which becomes part of the host where
                its name can.
        """
        given = self._given(service)
        if given:
            return given.rstrip("/") + path
        # China is a partition of its own, with a domain of its own.
        suffix = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        host = f"{service}.{self.region}.{suffix}"
        if service == "s3":
            bucket, slash, key = path.lstrip("/").partition("/")
            # A dot in a bucket's name would not fit the certificate.
            if slash and _BUCKET.fullmatch(bucket):
                host, path = f"{bucket}.{host}", f"/{key}"
        return f"https://{host}{path}"

    def _given(self, service: str) -> str:
        name = _VARIABLES.get(service, service.upper())
        return self._environment.get(f"AWS_ENDPOINT_URL_{name}") or self._environment.get(
            "AWS_ENDPOINT_URL", ""
        )


def function_region(url: str) -> str | None:
    """The region of a function URL.

    Args:
        url: of a request.

    Returns:
        ``None`` if this is not a function URL (a domain of one's own in front of it, or a stand-in).
    """
    found = _FUNCTION.fullmatch(urlsplit(url).hostname or "")
    return found["region"] if found else None
