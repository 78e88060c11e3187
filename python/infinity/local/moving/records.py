"""What a home remembers of conversations that leave, have left and arrive. Read at the start, before anything runs."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from infinity.abc import Store
from infinity.errors import DamagedStore

__all__ = ["Departed", "Roots", "read_departed", "write_departed"]


T = TypeVar("T")


class Departed(msgspec.Struct, frozen=True, kw_only=True):
    """A tree that lives elsewhere. ``calls``: where the callbacks of its open calls and subscriptions go now, by call id."""

    root: str
    to: str
    at: int
    threads: list[str]
    calls: dict[str, str]
    confirmed: bool = False
    """The destination has said that it runs there."""

    @property
    def text(self) -> str:
        return f"this conversation ({self.root}) has moved to {self.to}; talk to it there"


class Roots:
    """A durable set of root threads under one key: ``departing``, ``departed`` or ``arriving``."""

    def __init__(self, store: Store, key: str) -> None:
        self._store = store
        self._key = f"moving.{key}"
        self._roots: list[str] = []

    async def load(self) -> list[str]:
        found = await self._store.meta(self._key)
        self._roots = [] if found is None else _decoded(found, list[str], self._key)
        return [*self._roots]

    def __contains__(self, root: str) -> bool:
        return root in self._roots

    async def add(self, root: str) -> None:
        if root not in self._roots:
            # Changed before it is written: two moves at once must not write each other's away.
            self._roots.append(root)
            try:
                await self._write()
            except BaseException:
                self._roots.remove(root)
                raise

    async def discard(self, root: str) -> None:
        if root in self._roots:
            self._roots.remove(root)
            try:
                await self._write()
            except BaseException:
                self._roots.append(root)
                raise

    async def _write(self) -> None:
        await self._store.put_meta(self._key, msgspec.json.encode(self._roots))


async def read_departed(store: Store, root: str) -> Departed:
    found = await store.meta(f"moved.{root}")
    if found is None:
        raise DamagedStore(f"where {root} has moved to is missing from the store (moved.{root})")
    return _decoded(found, Departed, f"moved.{root}")


async def write_departed(store: Store, departed: Departed) -> None:
    await store.put_meta(f"moved.{departed.root}", msgspec.json.encode(departed))


def _decoded(data: bytes, shape: type[T], key: str) -> T:
    try:
        return msgspec.json.decode(data, type=shape)
    except msgspec.DecodeError as error:
        raise DamagedStore(f"the record {key!r} cannot be read; restore the database from a copy") from error
