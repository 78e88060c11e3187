"""One engine, two hosts: the same scenarios on the daemon's parts and on the cloud host end in the same histories, entry by entry.

(That every other scenario of the slice tests holds on the cloud host too is in tests/cloud/test_slices.py.)
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from tests.cloud.world import CloudWorld, impatient
from tests.crash.history import undated
from tests.slice import (
    test_budgets,
    test_calls,
    test_compaction,
    test_interrupting,
    test_prompts,
    test_subscriptions,
    test_talking,
    test_threads,
    test_waiting,
)
from tests.slice.scenes import World

from infinity._core import header_json
from infinity.testing.tool_server import ToolServer, tool

__all__ = ["impatient"]

Scenario = Callable[..., Awaitable[None]]

SCRIPT: tuple[tuple[Scenario, dict[str, Any]], ...] = (
    (test_talking.test_user_text_is_answered, {}),
    (test_talking.test_an_empty_answer_of_the_model_ends_the_slice, {}),
    (test_calls.test_a_call_goes_out_and_its_result_wakes_the_thread, {}),
    (test_calls.test_three_parallel_calls_are_answered_in_every_order, {"order": (2, 0, 1)}),
    (
        test_calls.test_talk_in_between_detaches_what_is_open_and_its_result_comes_as_an_event,
        {"order": (1, 0, 2), "talk_after": 1},
    ),
    (test_calls.test_a_result_that_arrives_twice_is_applied_once, {}),
    (test_calls.test_wrong_arguments_are_answered_to_the_model_and_nothing_is_sent, {}),
    (test_calls.test_a_refused_invocation_is_not_repeated_and_the_model_hears_of_it, {}),
    (test_calls.test_an_interrupt_cancels_open_calls_and_their_late_results_are_dropped, {}),
    (test_calls.test_content_reaches_the_model_and_display_only_the_user, {}),
    (test_subscriptions.test_an_associative_event_enters_the_thread_as_a_synthetic_call, {}),
    (
        test_subscriptions.test_an_event_gets_a_child_that_knows_the_history_and_the_parent_sees_only_its_report,
        {},
    ),
    (test_subscriptions.test_an_event_with_an_id_is_applied_once_however_often_it_comes, {}),
    (test_subscriptions.test_a_final_event_ends_the_subscription, {}),
    (test_subscriptions.test_the_agent_can_cancel_its_subscription, {}),
    (test_threads.test_a_spawned_child_works_and_reports_and_its_parent_hears_of_it, {}),
    (test_threads.test_parent_and_child_can_talk, {}),
    (test_threads.test_closing_a_parent_closes_its_children, {}),
    (test_threads.test_a_child_of_a_child_is_loaded_across_its_whole_lineage, {}),
    (
        test_prompts.test_a_choice_is_answered_at_its_server_and_the_call_stays_open,
        {"selected": None, "sent": 1},
    ),
    (test_prompts.test_a_destructive_tool_asks_first, {"allowed": True}),
    (test_prompts.test_a_destructive_tool_asks_first, {"allowed": False}),
    (test_prompts.test_a_denied_tool_is_never_sent, {}),
    (test_budgets.test_a_tree_that_used_its_tokens_pauses_and_resume_allows_as_much_again, {}),
    (test_interrupting.test_an_interrupt_ends_the_stream_and_keeps_the_visible_text, {}),
    (test_interrupting.test_a_stopped_thread_takes_results_but_does_not_speak_until_it_is_resumed, {}),
    (test_interrupting.test_closing_cancels_what_is_open_tells_the_servers_and_discards_what_comes_later, {}),
    (test_compaction.test_a_full_context_is_summarised_in_the_background_and_replaced, {}),
    (test_compaction.test_a_context_that_is_too_long_is_compacted_and_the_question_answered, {}),
    (test_waiting.test_talking_to_a_sleeper_detaches_its_sleep_which_ends_as_an_event, {}),
    (test_waiting.test_a_sleep_that_ended_while_nobody_ran_wakes_at_the_start, {}),
)

_PORT = re.compile(r"(?<=127\.0\.0\.1:)\d+")
_TIME = re.compile(r"\(time: [^)]*\)")
"""As the agent is told it. A schedule of the cloud rounds up to a minute."""
_MINTED = re.compile(r"\b(call|thread|event|message|control|choice)_([0-9a-f]{30}|\d+)\b")


@pytest.mark.parametrize(
    ("scenario", "arguments"),
    SCRIPT,
    ids=[
        "-".join([scenario.__name__, *map(str, arguments.values())]).removeprefix("test_")
        for scenario, arguments in SCRIPT
    ],
)
async def test_both_hosts_end_in_the_same_histories(
    scenario: Scenario, arguments: dict[str, Any], tmp_path: Path
) -> None:
    local = await _played(World, tmp_path / "local", scenario, arguments)
    cloud = await _played(CloudWorld, tmp_path / "cloud", scenario, arguments)
    assert local, "a scenario has at least one thread"
    assert cloud == local


async def _played(
    kind: type[World], path: Path, scenario: Scenario, arguments: dict[str, Any]
) -> list[tuple[Any, ...]]:
    """Every thread's state and entries once the scenario is over, in the order in which the threads began."""
    histories: list[tuple[Any, ...]] = []

    class Watched(kind):  # type: ignore[misc, valid-type]
        """Tells its histories before it closes, anyone who closes it."""

        async def close(self) -> None:
            if not histories:
                histories.extend(await _histories(self))
            await super().close()

    async with AsyncExitStack() as stack:
        wanted = inspect.signature(scenario).parameters
        if "open_world" in wanted:
            await scenario(open_world=lambda **how: Watched(path, **how), **arguments)
            return histories
        servers = []
        if "server" in wanted:
            offered = [tool(name) for name in ("a", "b", "c", "watch")]
            servers = [await stack.enter_async_context(ToolServer(offered))]
        world = Watched(path, servers=servers)
        await world.start()
        stack.push_async_callback(world.close)
        given = {"tooled": world, "server": servers[0]} if servers else {"world": world}
        await scenario(**given, **arguments)
        for thread in await world.runtime.tree((await world.store.threads())[0].root):
            await world.settled(thread)
    return histories


async def _histories(world: World) -> list[tuple[Any, ...]]:
    rows = sorted(
        await world.store.threads(limit=1000), key=lambda row: (row.created_at, len(row.id), row.id)
    )
    found = []
    for row in rows:
        header = json.loads(header_json(row.header))
        about = (row.status, row.parent is None, header["model"], bool(header["problem"]), header["pending"])
        found.append((about, _plain(await world.history(row.id))))
    return sorted(found, key=str)


def _plain(entries: list[dict[str, Any]]) -> list[str]:
    """Entries without minted ids and times. Results that came in a row have no order."""
    told: list[str] = []
    for kind, group in groupby(entries, key=lambda entry: entry["kind"]):
        texts = [
            _TIME.sub(
                "(time)", _PORT.sub("#", _MINTED.sub(r"\1_#", json.dumps(_kept(entry), sort_keys=True)))
            )
            for entry in group
        ]
        told += sorted(texts) if kind == "result" else texts
    return told


def _kept(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: undated(value) for name, value in entry.items() if name not in ("at", "position")}
