"""What requests begin with, the system prompt and the tools: kept once in a store, under their digest, and named by the turns that were asked for with them.

They are the same for very many turns of very many threads. They belong to no thread: what deletes a conversation leaves them, and its export does
not bring them (decision 0027). A turn is never delayed or refused for their sake; where they cannot be kept, its entry does not name them.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import msgspec

from infinity.abc import Store
from infinity.engine.optional import left_out
from infinity.errors import DamagedStore, InfinityError

__all__ = ["LARGEST", "Prefix", "Prefixes", "read"]

LARGEST = 1_000_000
"""Bytes of one that is kept: what every store takes in one value (I10)."""
_MOST = 1024
"""Digests that a process remembers to be in its store."""


class Prefix(msgspec.Struct, frozen=True):
    """``tools``: a JSON array in the shape of the Messages API."""

    system: str
    tools: msgspec.Raw


@lru_cache(maxsize=16)
def _made(system: str, tools: bytes) -> tuple[str, bytes]:
    """The digest and the record. The same for every turn of an agent, and some kilobytes."""
    body = msgspec.json.encode(Prefix(system, msgspec.Raw(tools)))
    return _digest(body), body


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32]


def _key(digest: str) -> str:
    return f"prefix.{digest}"


class Prefixes:
    """Keeps them for one process."""

    def __init__(self) -> None:
        self._kept: set[str] = set()

    async def keep(self, store: Store, thread: str, system: str, tools: bytes) -> str | None:
        """Keep a prefix before the turn that names it is on record.

        Args:
            store: That of the thread.
            thread: For whose turn; named where it fails.
            system: The system prompt.
            tools: The tools, as they are sent.

        Returns:
            Its digest; ``None`` if it is not kept.
        """
        digest, body = _made(system, tools)
        if digest in self._kept:
            return digest
        if len(body) > LARGEST:
            return None
        try:
            if await store.meta(_key(digest)) is None:
                await store.put_meta(_key(digest), body)
        except (InfinityError, OSError) as error:
            left_out("keeping what the request begins with", thread, error)
            return None
        if len(self._kept) >= _MOST:
            self._kept.clear()
        self._kept.add(digest)
        return digest


async def read(store: Store, digest: str) -> Prefix | None:
    """What was kept under a digest.

    Args:
        store: Where it may be.
        digest: From ``Prefixes.keep``, of this store or of the one from which a thread came.

    Returns:
        ``None`` if it is not here.

    Raises:
        DamagedStore: It is not what was kept.
    """
    body = await store.meta(_key(digest))
    if body is None:
        return None
    if _digest(body) != digest:
        raise DamagedStore(f"what is kept as {_key(digest)} is not what was put there")
    return msgspec.json.decode(body, type=Prefix)
