"""A service that gives no answer costs one slow try; then it is left alone for a while, and one request at
a time finds out whether it is back.

``dynamodb.Table`` uses it: what is kept there are hints, without which the host goes on. It is not for
services whose answer is needed to keep a promise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from infinity.backoff import Backoff

from .failure import AwsError

__all__ = ["Breaker", "NotAsked"]

REST = Backoff(first=5.0, longest=60.0)
"""Seconds for which it is left alone, longer each time that it gives no answer."""


class NotAsked(AwsError):
    """Nothing was sent: the service is being left alone."""


class Breaker:
    """What is known of one service in this process."""

    def __init__(
        self,
        service: str,
        *,
        rest: Backoff | None = None,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Begin with a service that is thought to answer.

        Args:
            service: its name, for errors.
            rest: seconds for which it is left alone, longer each time.
            now: a monotonic clock, in seconds.
            wall: a clock that goes on while the process is frozen; a rest is over when it is over by
                either.
        """
        self._service = service
        self._rest, self._now, self._wall = rest or REST, now, wall
        self._failures = 0
        self._probing = False
        self._until = (0.0, 0.0)
        """By each of the clocks."""

    @contextmanager
    def request(self) -> Iterator[None]:
        """Around one request, all its tries included.

        Only what gives no answer, or one of the service's own failures, counts as a failure: anyone who
        throttles or refuses does so at once.

        Raises:
            NotAsked: the service is left alone, or another request is finding out about it.
        """
        before, probing = self._failures, self._admit()
        try:
            yield
        except AwsError as error:
            # It has answered, if with a refusal: it is there.
            if not error.retryable or 0 < error.status < 500:
                self._failures = 0
            elif self._failures == before:
                self._failed()
            # Else: of several that were under way when it fell silent, the first has said so.
            raise
        else:
            self._failures = 0
        finally:
            if probing:
                self._probing = False

    def _admit(self) -> bool:
        """Whether this request is the one that finds out."""
        if not self._failures:
            return False
        # By whichever clock it is over first: the process may have been frozen meanwhile.
        left = min(until - now for until, now in zip(self._until, (self._now(), self._wall()), strict=True))
        if left > 0 or self._probing:
            raise NotAsked(
                f"{self._service} was not asked: it gave no answer a moment ago, and is left alone for {max(left, 0):.0f} s more",
                retryable=True,
            )
        self._probing = True
        return True

    def _failed(self) -> None:
        rest = self._rest.wait(self._failures)
        self._failures += 1
        # Both clocks, because neither can be trusted alone on a machine that freezes processes.
        self._until = (self._now() + rest, self._wall() + rest)
