"""Whose share of the account's concurrency is kept for whom: a parameter of the stack, for the code does not
know how much the account has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import Aws, CfnCondition, CfnParameter, Fn
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from .functions import AgentFunction

__all__ = ["RELAYS", "by_parameter"]

RELAYS = 10


def by_parameter(
    scope: Construct, prefix: str, functions: Mapping[str, AgentFunction], doors: Sequence[str]
) -> None:
    """Let a parameter of the stack say how many invocations are reserved.

    ``<prefix>Reserve`` is 0 by default, which deploys everywhere: a new account has 10 invocations in all,
    of which AWS lets nobody reserve any.

    Args:
        scope: The agent.
        prefix: Of the parameter's name.
        functions: By name.
        doors: Functions that anybody may call; each has a share, so that a flood of one leaves the others
            theirs (B14).
    """
    parameter = CfnParameter(
        scope,
        "Reserve",
        type="Number",
        default=0,
        min_value=0,
        max_value=1000,
        description=f"Invocations that only callbacks may take, with {RELAYS} more for the relay; 0: none. The account must have 100 more than all that is reserved in it.",
    )
    parameter.override_logical_id(f"{prefix}Reserve")
    wanted = CfnCondition(
        scope, "Reserves", expression=Fn.condition_not(Fn.condition_equals(parameter.value_as_string, "0"))
    )
    for name, share in [*((door, parameter.value_as_string) for door in doors), ("relay", RELAYS)]:
        function = functions[name].function.node.default_child
        if isinstance(function, lambda_.CfnFunction):
            # No value at all in place of 0: zero reserved invocations would switch the function off.
            kept = Fn.condition_if(wanted.logical_id, share, Aws.NO_VALUE)
            function.add_property_override("ReservedConcurrentExecutions", kept)
