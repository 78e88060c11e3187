"""Local dates and times to instants, with the rules for clock changes that ``sleep_until`` promises."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


class BadTime(ValueError):
    """A date, time or zone that does not exist; the text tells the model what to write."""


def local_instant(date: str, time: str, timezone: str) -> int:
    """Milliseconds since the epoch of a wall-clock time.

    An ambiguous time (clocks set back) is the first occurrence. A missing one (clocks set forward) is as
    many minutes after the change as the time lies in the gap, which is what PEP 495 gives for ``fold=0``.

    Args:
        date: ``YYYY-MM-DD``.
        time: ``HH:MM`` or ``HH:MM:SS``, without an offset.
        timezone: An IANA name.

    Raises:
        BadTime: tells the model what to write.
    """
    zone = _zone(timezone)
    try:
        local = datetime.fromisoformat(f"{date}T{time}")
    except ValueError as error:
        raise BadTime(
            f"{date!r} {time!r} is not a date and time ({error}); write YYYY-MM-DD and HH:MM"
        ) from None
    if local.tzinfo is not None:
        raise BadTime(f"the time {time!r} names an offset; give the zone in timezone only")
    try:
        return int(local.replace(tzinfo=zone, fold=0).astimezone(UTC).timestamp() * 1000)
    except OverflowError:
        raise BadTime(f"{date!r} is out of range") from None


def spoken(now: int, timezone: str) -> str:
    """An instant in words for the model.

    Args:
        now: Milliseconds since the epoch.
        timezone: An IANA name.

    Raises:
        BadTime: if there is no such zone.
    """
    return datetime.fromtimestamp(now / 1000, _zone(timezone)).strftime("%Y-%m-%d %H:%M:%S %Z")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadTime(f"{name!r} is not an IANA time zone; write for instance Europe/Berlin or UTC") from None
