"""RateLimiter: at most so many requests a minute to one model, over all threads of the process."""

from __future__ import annotations

from collections import defaultdict, deque

MINUTE_MS = 60_000


class RateLimiter:
    def __init__(self, requests_per_minute: int) -> None:
        self._most = requests_per_minute
        self._starts: defaultdict[str, deque[int]] = defaultdict(deque)

    def reserve(self, model: str, now: int) -> float:
        """Seconds until the request that is reserved herewith may start; in the order of the reservations."""
        if not self._most:
            return 0.0
        starts = self._starts[model]
        while starts and starts[0] <= now - MINUTE_MS:
            starts.popleft()
        start = now if len(starts) < self._most else max(now, starts[-self._most] + MINUTE_MS)
        starts.append(start)
        return (start - now) / 1000
