"""What a slice works with: the contracts of ``infinity.abc``, as one host fills them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from infinity.abc import Catalogs, Clock, Mailbox, Models, Observer, Store, Transport, Wire
from infinity.engine.attempts import Attempts
from infinity.engine.prefixes import Prefixes
from infinity.engine.probes import Probes
from infinity.engine.rate_limit import RateLimiter
from infinity.engine.watched import Unwatched, Watch
from infinity.ids import Ids
from infinity.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    store: Store
    mailbox: Mailbox
    models: Models
    catalogs: Catalogs
    transport: Transport
    wire: Wire
    clock: Clock
    ids: Ids
    observer: Observer
    settings: Settings
    rate_limiter: RateLimiter
    attempts: Attempts
    probes: Probes
    watch: Watch = field(default_factory=Unwatched)
    prefixes: Prefixes = field(default_factory=Prefixes)
    owned: asyncio.Event = field(default_factory=lambda: _set(asyncio.Event()))
    """Set while this process owns its store for certain: no slice and no delivery begins otherwise (R12)."""


def _set(event: asyncio.Event) -> asyncio.Event:
    event.set()
    return event
