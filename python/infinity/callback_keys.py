"""The keys that sign callback URLs: made at the first start, kept in the store, renewed now and then (L19).

Whatever opens a store for itself takes its keys here, so that callback URLs stay good no matter who opens it
next. A callback URL outlives its daemon, so a key is accepted long after it stopped signing. A record that
cannot be read is never replaced by a new one: every callback on its way would be refused (I8).
"""

from __future__ import annotations

import base64
import binascii

import msgspec

from infinity.abc import Store
from infinity.errors import DamagedStore
from infinity.rap.capability import generate_key

__all__ = ["callback_keys", "kept_keys"]

META = "capability_keys"
EARLIER = "capability_key"
"""Where version 0.1.0 kept the one key of a journal that was used embedded; read once, then empty."""
RENEW_AFTER = 90 * 24 * 3600 * 1000
"""Milliseconds that a key signs; at a start after that a new one takes over."""
KEPT = 9
"""Keys that are accepted: about two years of them."""


class _Key(msgspec.Struct, frozen=True):
    key: str
    made_at: int


async def kept_keys(store: Store) -> list[bytes]:
    """The keys that are there, the signing one first. None are made.

    For hosts of many processes, of which one makes them.

    Raises:
        DamagedStore: if the record cannot be read.
    """
    return [base64.b64decode(key.key) for key in await _read(store)]


async def callback_keys(store: Store, now: int) -> list[bytes]:
    """The keys, the signing one first; a new one is made where there is none, or where it has grown old.

    Args:
        store: Opened for writing.
        now: Milliseconds since the epoch.

    Returns:
        At most ``KEPT`` keys of random bytes.

    Raises:
        DamagedStore: if the record cannot be read.
    """
    keys = await _adopt(store, await _read(store))
    # The old keys stay behind the new one: callback URLs that they signed may still be used.
    if not keys or now - keys[0].made_at >= RENEW_AFTER:
        keys = [_Key(base64.b64encode(generate_key()).decode(), now), *keys][:KEPT]
        await store.put_meta(META, msgspec.json.encode(keys))
    return [base64.b64decode(key.key) for key in keys]


async def _adopt(store: Store, keys: list[_Key]) -> list[_Key]:
    """With the key of an earlier version, which signed callback URLs that may still be used. It signs on
    where it is the only one.
    """
    earlier = await store.meta(EARLIER)
    if not earlier:
        return keys
    adopted = _Key(base64.b64encode(earlier).decode(), 0)
    if all(key.key != adopted.key for key in keys):
        keys = [*keys, adopted][:KEPT]
        await store.put_meta(META, msgspec.json.encode(keys))
    # Last: if the process dies in between, the key is adopted again, and found among the kept ones.
    await store.put_meta(EARLIER, b"")
    return keys


async def _read(store: Store) -> list[_Key]:
    found = await store.meta(META)
    if found is None:
        return []
    try:
        keys = msgspec.json.decode(found, type=list[_Key])
        for key in keys:
            base64.b64decode(key.key, validate=True)
    except (msgspec.DecodeError, binascii.Error, UnicodeDecodeError) as error:
        raise DamagedStore(
            f"the record {META!r} cannot be read; callbacks on their way could not be checked. Restore the database from a copy"
        ) from error
    return keys
