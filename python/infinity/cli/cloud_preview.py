"""What the models of the code would say, before a deployment on this machine starts: without a key the
scripted model answers, and the person is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infinity.emulator.local import Plan

__all__ = ["previewed"]

_SCRIPTED = (
    "{problem}\nSo the scripted model answers: it echoes and calls tools on command, nothing more. For the model of the code, stop this, "
    "put its key into the environment of this command (or pass it on with --env NAME), and start again."
)


def previewed(plan: Plan) -> tuple[Plan, str | None]:
    """Find out whether the models of a plan can answer, before it is started.

    Args:
        plan: What would be started.

    Returns:
        The plan, with the scripted model if no key is there; and what is to be said to the person, if
        anything.

    Raises:
        ConfigError: if ``infinity.toml`` cannot be used by functions at all.
    """
    from infinity.cloud.environment import read_config
    from infinity.models.planning import examine
    from infinity.models.registry import SCRIPTED, Models

    environment: Mapping[str, str] = {**plan.environment, "LAMBDA_TASK_ROOT": str(plan.code)}
    settings = read_config(environment)
    models = Models(settings.models, environment=environment)
    # What an Agent of the code says is seen by the functions: importing it here would run it in this process.
    problems = [] if plan.agent is not None else examine(models, settings.settings(), named=False)
    if not problems or "INFINITY_MODEL" in plan.environment:
        return plan, "\n".join(problems) or models.notice
    said = _SCRIPTED.format(problem=problems[0])
    return replace(plan, environment={**plan.environment, "INFINITY_MODEL": SCRIPTED}), said
