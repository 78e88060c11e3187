"""Models: whether there is one of a name that a client gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infinity.api.errors import Refused
from infinity.errors import ConfigError

if TYPE_CHECKING:
    from ..host import Host

__all__ = ["check_model"]


def check_model(host: Host, name: str) -> None:
    """``Refused`` (400) if there is none: a name is the client's, other settings are not."""
    try:
        host.runtime.models.resolve(name)
    except ConfigError as error:
        raise Refused(400, error.code, str(error)) from None
