"""Scenarios of the slice tests with PostgreSQL under DSQL's rules in place of the journal, where a commit now and then meets another one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import pytest
from tests.contract.databases import database_url, store_with
from tests.contract.dsql_rules import Conflicts
from tests.slice import (
    test_calls,
    test_deleting,
    test_subscriptions,
    test_talking,
    test_threads,
    test_waiting,
)
from tests.slice.scenes import World

from infinity.stores.sqlite.wakeup import Wakeup
from infinity.testing.tool_server import ToolServer


class WorldOnPostgres(World):
    conflicts: Conflicts
    url: str

    async def start(self) -> Self:
        if not hasattr(self, "url"):
            self.conflicts, self.url = Conflicts(0.2), await database_url(self.path)
        return await super().start()

    async def _open_store(self, wakeup: Wakeup) -> Any:
        return await store_with(self.url, self.conflicts)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = await WorldOnPostgres(tmp_path / "world").start()
    yield made
    await made.close()


@pytest.fixture
async def tooled(tmp_path: Path, server: ToolServer) -> AsyncIterator[World]:
    made = await WorldOnPostgres(tmp_path / "world", servers=[server]).start()
    yield made
    await made.close()


@pytest.mark.parametrize(
    "scenario",
    [
        test_talking.test_user_text_is_answered,
        test_talking.test_a_message_sent_twice_under_one_key_is_answered_once,
        test_talking.test_messages_of_a_thread_are_folded_in_the_order_of_their_arrival,
        test_talking.test_a_message_survives_the_end_of_the_process_while_the_model_runs,
        test_waiting.test_a_three_day_sleep_ends_after_three_days,
        test_waiting.test_a_sleep_that_ended_while_nobody_ran_wakes_at_the_start,
        test_threads.test_a_spawned_child_works_and_reports_and_its_parent_hears_of_it,
        test_threads.test_a_child_of_a_child_is_loaded_across_its_whole_lineage,
        test_deleting.test_two_who_delete_at_once_delete_once_and_both_hear_when_it_is_done,
        test_deleting.test_a_deletion_goes_on_when_its_caller_leaves,
    ],
    ids=lambda scenario: scenario.__name__,
)
async def test_it_holds_on_postgres(world: World, scenario: Callable[[World], Awaitable[None]]) -> None:
    await scenario(world)


@pytest.mark.parametrize(
    "scenario",
    [
        test_calls.test_a_call_goes_out_and_its_result_wakes_the_thread,
        test_calls.test_a_result_and_text_in_one_batch_answer_the_call_first,
        test_calls.test_a_restart_sends_what_had_not_left_under_the_same_id,
        test_calls.test_an_interrupt_cancels_open_calls_and_their_late_results_are_dropped,
        test_subscriptions.test_an_event_with_an_id_is_applied_once_however_often_it_comes,
        test_deleting.test_a_conversation_that_is_at_work_is_gone_and_its_servers_were_told,
        test_deleting.test_a_deletion_that_was_marked_goes_on_at_the_next_start,
    ],
    ids=lambda scenario: scenario.__name__,
)
async def test_it_holds_on_postgres_with_tools(
    tooled: World, server: ToolServer, scenario: Callable[[World, ToolServer], Awaitable[None]]
) -> None:
    await scenario(tooled, server)
