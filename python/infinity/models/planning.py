"""What can be known of the models before a conversation asks one.

For starts, ``doctor`` and ``cloud config check``, which say the same (I14). No model is asked.
"""

from __future__ import annotations

from infinity.abc.model import ModelInfo
from infinity.errors import ConfigError
from infinity.settings import Settings

from .registry import Models

__all__ = ["examine"]


def examine(models: Models, settings: Settings, *, named: bool) -> list[str]:
    """What keeps models from being used: names, providers, keys, scripts, prices that a limit needs.

    Args:
        models: the configured ones.
        settings: the agent's; its default model and its limit in money.
        named: those of ``[models.named]`` too, whose providers are imported for it; else the default
            model alone.

    Returns:
        Sentences for people; empty if nothing is wrong.
    """
    found: list[str] = []
    default = settings.default_model or models.default
    infos = [_resolve(models, default, f"the default model {default!r} cannot be used", found)]
    for name in models.named if named else ():
        if name != default:
            infos.append(_resolve(models, name, f"the model {name!r} cannot be used", found))
        # Found out now, and not on the day on which they are needed.
        for other in models.fallback_of(name):
            infos.append(
                _resolve(
                    models, other, f"{other!r}, the fallback of the model {name!r}, cannot be used", found
                )
            )
    for info in infos:
        if info is not None and settings.limits.tree_dollars and info.price is None:
            found.append(
                f"limits.tree_dollars cannot be kept with the model {info.name}, whose price is not known; "
                "set price in [models.named] (four zeros if it is free), or remove the limit"
            )
    return found


def _resolve(models: Models, name: str, what: str, found: list[str]) -> ModelInfo | None:
    try:
        return models.resolve(name)[1]
    except ConfigError as error:
        found.append(f"{what}: {error}")
        return None
