"""What a request has put on record besides its message leaves before it is answered (I5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infinity.aws.sqs import deduplication_id

from .. import envelope
from ..effects import Effects

if TYPE_CHECKING:
    from ..host import Host

__all__ = ["flush"]


async def flush(host: Host, effects: Effects) -> None:
    """These functions reach the inbox queue only: a timer is left to the agent, which a wake for its time makes see to it."""
    for thread, cause in effects.wakes.items():
        await host.alarms.wake(thread, cause)
    for (thread, _), due_at in effects.timers.items():
        id = deduplication_id(thread, f"wake.{host.fresh_cause()}")
        await host.inbox_queue.send(envelope.wake(thread, due_at), group=thread, deduplication_id=id)
    if effects.notifications:
        await host.notify(list(effects.notifications.values()))
