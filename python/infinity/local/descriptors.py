"""The descriptors of this process: as many as the system allows, and some kept for what must always work (B14)."""

from __future__ import annotations

import sys

__all__ = ["raise_limit"]

WANTED = 65_536
RESERVED = 512
"""For the store, tool servers, the model and started processes; a quarter where there are few."""


def raise_limit() -> int:
    """Raise the soft limit of open descriptors as far as it goes. How many connections may be open at once."""
    if sys.platform == "win32":
        return WANTED
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = WANTED if hard == unlimited else min(WANTED, hard)
    if soft != unlimited and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError):
            pass  # Some systems allow less than they say; what there is has to do.
    limit = WANTED if soft == unlimited else soft
    return max(limit - min(RESERVED, limit // 4), 16)
