"""What a request has put on record besides its message leaves before it is answered (I5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infinity.aws.sqs import deduplication_id

from .. import envelope
from ..owed import Owed

if TYPE_CHECKING:
    from ..host import Host

__all__ = ["pay"]


async def pay(host: Host, owed: Owed) -> None:
    """These functions reach the inbox queue only: a timer is left to the agent, which a wake for its time makes see to it."""
    for thread, cause in owed.wakes.items():
        await host.alarms.wake(thread, cause)
    for (thread, _), due_at in owed.timers.items():
        id = deduplication_id(thread, f"wake.{host.fresh_cause()}")
        await host.inbox_queue.send(envelope.wake(thread, due_at), group=thread, deduplication_id=id)
    if owed.told:
        await host.tell(list(owed.told.values()))
