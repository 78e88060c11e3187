"""The kit's side of a function's signature: the parameter that gets the call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from infinity.functions import signature

from .call import Call, Subscription

__all__ = ["Signature"]


class Signature(signature.Signature):
    """A signature whose context is a ``Call``. ``subscribes``: the call that it gets is a
    ``Subscription``.
    """

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        """Read the signature; see ``infinity.functions.signature``.

        Args:
            function: the tool's function.
            name: of the tool, for errors.
        """
        super().__init__(function, name, Call)
        self.subscribes = self.context_type is not None and issubclass(self.context_type, Subscription)
