"""The state of a tool server is its owner's alone: capabilities, arguments, grants."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infinity.errors import StoreError
from infinity.mcp.ledger import Ledger
from infinity.rap.server.store import ServerStore

STORES: list[Callable[[Path], Any]] = [ServerStore, Ledger]


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


@pytest.mark.rap("SRV-8")
@pytest.mark.parametrize("made", STORES)
async def test_state_files_are_private_from_the_first_byte_on(
    tmp_path: Path, made: Callable[[Path], Any]
) -> None:
    before = os.umask(0)
    try:
        store = made(tmp_path / "state.db")
        await store.open()
        assert modes(tmp_path) == {0o600} and len(list(tmp_path.iterdir())) >= 2
        await store.close()
    finally:
        os.umask(before)


@pytest.mark.rap("SRV-8")
@pytest.mark.parametrize("made", STORES)
async def test_files_of_an_earlier_version_become_private(
    tmp_path: Path, made: Callable[[Path], Any]
) -> None:
    store = made(tmp_path / "state.db")
    await store.open()
    await store.close()
    for file in tmp_path.iterdir():
        file.chmod(0o644)
    store = made(tmp_path / "state.db")
    await store.open()
    assert modes(tmp_path) == {0o600}
    await store.close()


@pytest.mark.parametrize("made", STORES)
async def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, made: Callable[[Path], Any]) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        await made(tmp_path / "nowhere" / "state.db").open()
