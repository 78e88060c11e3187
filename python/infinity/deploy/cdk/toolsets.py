"""Tool servers of an agent: Lambda functions behind function URLs of their own, or servers elsewhere."""

from __future__ import annotations

import re
from typing import Any

from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infinity.errors import ConfigError

from .environment import grant_secret, reference
from .functions import AgentFunction
from .permissions import call_function

__all__ = ["Toolset"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Toolset(Construct):
    """One tool server of an agent.

    It is told to the functions as ``INFINITY_TOOLSETS_<NAME>``, a ``[toolsets.name]`` like those of
    ``infinity.toml``, because the address of a function that is deployed along with the agent is not known
    before.

    Args:
        scope: The agent.
        name: Small letters, digits and ``_``.
        calling: The functions that call tool servers; they get the token.
        others: Functions that only read the same configuration, and get no token.
        where: A function and a URL, of which one is empty.
        token: The secret of a server elsewhere, or ``None``.

    Raises:
        ConfigError: for a bad name, a URL that is not https, or a token for a function.
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        calling: list[AgentFunction],
        others: list[AgentFunction],
        where: tuple[Any, str],
        token: Any,
    ) -> None:
        if not _NAME.fullmatch(name):
            raise ConfigError(f"a toolset is named with small letters, digits and _, not {name!r}")
        super().__init__(scope, f"Toolset{name.title().replace('_', '')}")
        function, url = where
        if (function is None) == (not url):
            raise ConfigError(
                f"toolset {name} needs exactly one of function= (on Lambda) and url= (elsewhere)"
            )
        if function is not None and token is not None:
            raise ConfigError(
                f"toolset {name}: calls of a function are signed with IAM, which leaves no room for a token; remove token_secret"
            )
        if url and not url.startswith("https://"):
            raise ConfigError(f"toolset {name}: {url} must begin with https://; calls to it leave AWS")
        settings = [f'url = "{url or self._address(function, calling)}"']
        if function is not None:
            settings.append('auth = "aws_iam"')
        variable = f"TOOLSET_{name.upper()}_TOKEN"
        if token is not None:
            settings.append(f'token_env = "{variable}"')
        for each in (*calling, *others):
            each.tell(f"INFINITY_TOOLSETS_{name.upper()}", f"{{ {', '.join(settings)} }}")
        if token is not None:
            for each in calling:
                each.tell(variable, reference(token))
                grant_secret(token, each.role)

    def _address(self, function: lambda_.Function, calling: list[AgentFunction]) -> str:
        """Of a function URL that only these roles may call."""
        at = function.add_function_url(auth_type=lambda_.FunctionUrlAuthType.AWS_IAM)
        for each in calling:
            call_function(each.role, function.function_arn)
        made = function.node.default_child
        if isinstance(made, lambda_.CfnFunction) and made.recursive_loop is None:
            # It stands in the middle of the conversation's loop.
            made.recursive_loop = "Allow"
        return str(at.url)
