"""The time, as the agent is told it: a block of its own before what a person says, before an event, and with
each wake (M6).

A stamp says when the message was accepted, in the zone of ``[agent] timezone``. It is stored with its
entry and never written again, so that the provider's prompt cache holds. Clients that show history leave
stamps out: entries have a time of their own.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from infinity.errors import ConfigError

__all__ = ["check_zone", "is_stamp", "stamp"]

_FORM = re.compile(r"\(time: [A-Z][a-z]{2} \d{4}-\d\d-\d\d \d\d:\d\d:\d\d [^\s()]{1,64}\)")


def stamp(at: int, zone: str) -> dict[str, Any]:
    """The block that tells the agent the time.

    Args:
        at: Milliseconds since the epoch.
        zone: An IANA name, which the block names.

    Returns:
        A text block.
    """
    from zoneinfo import ZoneInfo

    local = datetime.fromtimestamp(at / 1000, ZoneInfo(zone))
    # English day names whatever the locale, so that the bytes are the same everywhere.
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[local.weekday()]
    offset = f"{local:%z}"
    named = zone if zone == "UTC" else f"{zone},UTC{offset[:3]}:{offset[3:5]}"
    return {"type": "text", "text": f"(time: {day} {local:%Y-%m-%d %H:%M:%S} {named})"}


def is_stamp(block: dict[str, Any]) -> bool:
    """Whether a content block is a stamp, by its form. Clients that show history leave those out."""
    return block.get("type") == "text" and _FORM.fullmatch(str(block.get("text"))) is not None


def check_zone(zone: str) -> str:
    """Check a time zone, and give it back.

    Args:
        zone: An IANA name, or empty: then nothing is stamped.

    Raises:
        ConfigError: unless it is one.
    """
    if zone:
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ConfigError(
                f"{zone!r} is not an IANA time zone; write for instance Europe/Berlin or UTC"
            ) from None
    return zone
