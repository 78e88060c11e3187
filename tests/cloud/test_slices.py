"""Every scenario of the slice tests, on the cloud host: queues and functions in place of mailboxes, PostgreSQL under DSQL's rules in place of the journal.

In ``make test`` half of each file's (see ``tests.sampling``).
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cloud.world import CloudWorld
from tests.sampling import sample

from infinity.testing.tool_server import ToolServer

LEFT_OUT = {
    "test_held_back": "a function that is held is ended by its time limit, and its receives count; see tests/cloud/crash/test_neighbours.py",
    "test_removed_servers": "a process looks for what was removed at its first batch, and here none comes by itself; see tests/slice",
    "test_on_postgres": "it runs other files' tests on another store",
    "test_outside_causes": "it gives a daemon's own mailbox its messages and moves the clock to a daemon's own probes",
    "test_ownership": "a deployment is many processes by design, and none of them owns the store",
    "test_consumed_messages": "it opens a daemon's own store twice, and gives its mailbox what the store does not have",
    "test_background_tasks": "it breaks the parts of a daemon; here an invocation that fails comes again",
    "test_deleting": "what is left of a conversation is removed by another function than the one that is asked; see test_deleting of this folder",
    "test_retention": "the sweep looks for what is due, and no process waits for it; see test_deleting of this folder",
    "test_back_in_service": "conversations are not moved to or from a deployment",
}
SLICE_TESTS = sorted(
    path
    for path in Path(__file__).parents[1].joinpath("slice").glob("test_*.py")
    if path.stem not in LEFT_OUT
)

Scenario = Callable[..., Awaitable[None]]

DIFFERENT = {
    "test_only_the_child_that_was_asked_gives_the_summary": "it gives a daemon's own mailbox its messages",
    "test_requests_beyond_the_pace_wait_their_turn": "the pace is that of one process, and each of these threads may run in another",
    "test_an_interrupt_ends_the_wait_for_the_pace": "the pace is that of one process, and each of these threads may run in another",
    "test_what_a_thread_owes_goes_on_record_with_a_slice_that_buys_nothing": "what is owed is in the memory of the process that ran the slice",
    "test_an_answer_that_comes_together_with_the_limit_is_one_answer": "a week passes while a slice runs, which a function's time limit ends",
    "test_a_thread_that_is_held_back_says_so_and_until_when": "which process holds a thread back is known to that process alone",
    "test_a_cache_breakpoint_of_a_sender_does_not_reach_history": "it asks the daemon's own mailbox who waits",
    "test_the_time_is_that_of_acceptance_and_not_that_of_reading": "it asks the daemon's own mailbox who waits",
    "test_a_provider_that_raises_anything_is_asked_a_bounded_number_of_times": "it asks the daemon's own mailbox who waits",
    "test_fifteen_messages_during_an_outage_are_one_timer_and_one_budget": "it asks the daemon's own mailbox who waits",
    "test_a_budget_that_failed_attempts_use_up_ends_the_tries_of_a_running_slice": "it asks the daemon's own mailbox who waits",
    "test_messages_beyond_the_limit_are_refused_and_controls_are_not": "it asks the daemon's own mailbox who waits",
    "test_a_thread_whose_slice_runs_is_not_listed_as_idle": "it asks the daemon's own mailbox who waits",
    "test_a_burst_of_events_runs_as_many_threads_at_once_as_it_may_and_all_in_the_end": "how many run at once is set at the queue's mapping",
    "test_a_post_that_fails_after_its_call_was_taken_back_is_neither_repeated_nor_told": "an interrupt ends a call's delivery there, instead of waiting for it",
    "test_a_server_that_never_answers_delays_nobody_else": "a thread waits for as long as one try may take, others do not",
    "test_a_completion_that_never_fits_is_given_up_and_says_so": "the time limit is the function's own",
    "test_a_turn_says_who_answered_when_how_long_it_took_and_what_was_tried_before": "it moves the clock to the next try, and here the services wait on it too",
    "test_an_interrupt_ends_the_wait_for_another_try": "it counts who sleeps on the clock, which here are the services too",
    "test_two_hundred_threads_at_once_are_all_answered": "two hundred transactions at once are a matter of the machine; there are fewer in this folder",
    "test_a_message_sent_twice_under_one_key_is_answered_once": "a repeat that comes before the first was folded in is accepted, and dropped by the queue",
    "test_messages_of_a_thread_are_folded_in_the_order_of_their_arrival": "a batch of SQS has ten messages at the most",
    "test_a_result_and_text_in_one_batch_answer_the_call_first": "it holds back the daemon's own taker",
    "test_a_three_day_sleep_ends_after_three_days": "a schedule is exact to the minute",
    "test_sleep_until_wakes_at_the_local_time": "a schedule is exact to the minute",
    "test_a_call_past_its_deadline_is_answered_with_an_error": "a schedule is exact to the minute",
    "test_a_failing_server_is_tried_again_under_the_same_id_until_the_budget_is_spent": "the next try is another invocation's",
    "test_a_model_that_always_fails_is_given_up_in_the_end_and_the_user_is_told": "it moves the clock past the time limit of the function that runs",
    "test_a_completion_that_does_not_fit_is_taken_back_and_asked_for_again": "the time limit is the function's own",
    "test_turns_that_were_complete_are_kept": "the time limit is the function's own",
    "test_a_result_that_cannot_be_recorded_for_a_while_is_kept_and_its_function_runs_once": "it breaks the daemon's own store; see test_function_results",
    "test_a_result_that_the_store_will_never_take_becomes_an_error_for_the_model": "it breaks the daemon's own store",
    "test_quick_functions_run_beside_as_many_slow_ones_as_there_may_be": "who asks is another process than the one that runs the functions",
    "test_a_deadline_that_passes_while_nobody_runs_ends_the_call_before_it_leaves_again": "it stops a daemon for two hours",
    "test_a_call_that_is_not_taken_says_why_and_when_it_is_tried_again": "the next try is another invocation's",
    "test_a_delivery_that_rests_is_listed_and_tried_at_once_when_a_person_wants_it": "what rests between two tries is in no process there",
    "test_an_answered_call_whose_acknowledgement_was_lost_is_not_sent_again": "the next try is another invocation's",
    "test_a_call_that_leaves_while_the_backlog_is_read_does_not_leave_again": "it reads the daemon's own backlog; see test_large_slices",
    "test_a_call_that_ends_while_the_backlog_is_read_does_not_leave_again": "it reads the daemon's own backlog",
    "test_the_deadline_of_what_was_acknowledged_says_so": "a schedule is exact to the minute",
    "test_the_deadline_of_what_never_left_says_so_and_nobody_is_told_to_cancel_it": "what earlier invocations have tried is not known, so that nothing is said never to have left",
    "test_a_hung_function_past_its_deadline_is_stopped_and_never_runs_again": "a function ends with its invocation there",
    "test_a_deadline_that_has_fired_behind_a_question_ends_nothing": "it puts messages into the daemon's own mailbox",
    "test_of_two_different_answers_the_first_counts_and_the_other_hears_which_that_is": "an answer that comes before the first was folded in is accepted, and dropped then",
    "test_of_two_answers_with_different_arguments_one_counts_and_the_other_is_refused": "an answer that comes before the first was folded in is accepted, and dropped then",
    "test_other_content_is_refused_while_the_first_is_queued": "what comes before the first was folded in is accepted, and dropped by the queue",
    "test_a_control_under_the_key_of_another_is_not_dropped": "a repeat that comes before the first was folded in is accepted, and dropped by the queue",
    "test_a_damaged_header_is_a_row_of_its_own_and_is_named": "it damages the daemon's own file",
    "test_entries_of_a_thread_whose_record_is_damaged_are_listed_and_that_is_said": "it damages the daemon's own file",
    "test_a_thread_that_waits_and_whose_record_is_damaged_is_named_once": "it damages the daemon's own file",
    "test_a_row_that_cannot_be_read_does_not_hide_the_others": "it damages the daemon's own file",
    "test_a_retry_that_fires_while_a_person_asks_asks_nobody_afterwards": "it looks into the daemon's own mailbox",
    "test_a_question_that_cannot_be_read_does_not_hide_the_others": "it damages the daemon's own file",
    "test_entries_that_are_damaged_or_missing_are_named_beside_the_intact_ones": "it damages the daemon's own file",
    "test_subscriptions_that_cannot_be_read_are_named_beside_the_others": "it damages the daemon's own file",
    "test_what_is_denied_does_not_leave_and_the_model_hears_it": "conversations are not moved to or from a deployment",
    "test_what_is_asked_about_waits_for_the_user": "conversations are not moved to or from a deployment",
    "test_closing_a_parent_closes_all_of_its_children_however_many": "that many threads are a matter of the machine; there are fewer in test_large_slices",
    "test_an_interrupt_of_hundreds_of_calls_cancels_each_of_them": "hundreds of deliveries are a matter of the machine; there are fewer in this folder",
    "test_a_thread_with_hundreds_of_calls_closes": "hundreds of deliveries are a matter of the machine; there are fewer in this folder",
    "test_the_time_that_is_over_while_nothing_streams_ends_the_slice_after_its_round": "the time limit is the function's own",
}
"""Tests of the daemon's ways; what the cloud host does instead is tested in this folder."""


def scenarios(*fixtures: str) -> list[Any]:
    """Tests that want exactly these fixtures, as they stand, with each set of their own parameters."""
    found = []
    for path in SLICE_TESTS:
        module = importlib.import_module(f"tests.slice.{path.stem}")
        for name, test in vars(module).items():
            if not name.startswith("test_") or not inspect.iscoroutinefunction(test) or name in DIFFERENT:
                continue
            if "_pass_time" in test.__code__.co_names:
                continue  # The clock goes to whatever is due next, which here may be the end of a function's time.
            for case, arguments in parameters(test):
                if set(inspect.signature(test).parameters) == {*fixtures, *arguments}:
                    id = "-".join(filter(None, (path.stem, name, case)))
                    found.append(pytest.param(test, arguments, id=id))
    return sample(found, lambda case: str(case.values[0].__module__))


def parameters(test: Scenario) -> list[tuple[str, dict[str, Any]]]:
    """The sets of arguments that ``pytest.mark.parametrize`` gives it, each with a name."""
    marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    cases: list[tuple[str, dict[str, Any]]] = [("", {})]
    for mark in marks:
        names = (
            [name.strip() for name in mark.args[0].split(",")]
            if isinstance(mark.args[0], str)
            else mark.args[0]
        )
        sets = [value if len(names) > 1 else (value,) for value in mark.args[1]]
        cases = [
            (f"{case}{number}", {**arguments, **dict(zip(names, values, strict=True))})
            for case, arguments in cases
            for number, values in enumerate(sets)
        ]
    return cases


@pytest.mark.parametrize(("scenario", "arguments"), scenarios("world"))
async def test_it_holds_on_the_cloud_host(
    world: CloudWorld, scenario: Scenario, arguments: dict[str, Any]
) -> None:
    await scenario(world=world, **arguments)


@pytest.mark.parametrize(("scenario", "arguments"), scenarios("tooled", "server"))
async def test_it_holds_on_the_cloud_host_with_tools(
    tooled: CloudWorld, server: ToolServer, scenario: Scenario, arguments: dict[str, Any]
) -> None:
    await scenario(tooled=tooled, server=server, **arguments)


@pytest.mark.parametrize(("scenario", "arguments"), scenarios("tooled"))
async def test_it_holds_on_the_cloud_host_with_tools_that_are_not_called(
    tooled: CloudWorld, scenario: Scenario, arguments: dict[str, Any]
) -> None:
    await scenario(tooled=tooled, **arguments)


@pytest.mark.parametrize(("scenario", "arguments"), scenarios("open_world"))
async def test_it_holds_on_the_cloud_host_as_it_is_set(
    open_world: Callable[..., CloudWorld], scenario: Scenario, arguments: dict[str, Any]
) -> None:
    await scenario(open_world=open_world, **arguments)


def test_every_difference_is_of_a_test_that_there_is() -> None:
    names = {
        name for path in SLICE_TESTS for name in vars(importlib.import_module(f"tests.slice.{path.stem}"))
    }
    assert names >= DIFFERENT.keys()
