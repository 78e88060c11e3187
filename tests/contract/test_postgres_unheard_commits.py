"""A commit that became durable unheard is found again when the very same change comes once more: a kept turn is committed once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.contract.databases import postgres
from tests.contract.threads import NOW

from infinity._core import Thread
from infinity.errors import Conflict, StoreError


async def test_the_same_change_after_an_unheard_commit_is_committed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with postgres(tmp_path) as store:
        seed = b'[{"type": "text", "text": "hello"}]'
        delta = Thread.create("unheard", now=NOW, model="m", seed=seed).delta(NOW)
        transactions: Any = store._transactions  # type: ignore[attr-defined]
        genuine = transactions.write

        async def unheard(work: Any) -> Any:
            await genuine(work)
            raise StoreError("the connection broke: whether it happened is found out later")

        monkeypatch.setattr(transactions, "write", unheard)
        with pytest.raises(StoreError):
            await store.commit(delta)
        monkeypatch.undo()
        await store.commit(delta)
        assert len(await store.entries("unheard")) == 1
        with pytest.raises(Conflict):
            await store.commit(delta)
