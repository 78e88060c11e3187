"""The ledger: every rule of the protocol and every trap, what proves it, or why nothing does yet.

Tests say what they prove with ``@pytest.mark.rap("INV-3")`` and ``@pytest.mark.trap("L1")``; ``test_ledger.py`` holds both sides together.
``rust``: tests of the core that prove it, as ``file.rs::test_name`` under ``rust/``. ``gap``: why nothing does; gone when something does. ``partly``: which part of it is not there, although tests prove the rest.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Requirement:
    """``level``: ``must``, ``should``, ``ours`` (beyond the protocol) or ``trap``."""

    id: str
    level: str
    sentence: str
    rust: tuple[str, ...] = ()
    gap: str = ""
    partly: str = ""


def _rule(id: str, level: str, sentence: str, *rust: str, gap: str = "", partly: str = "") -> Requirement:
    return Requirement(id, level, sentence, rust, gap, partly)


def _trap(id: str, sentence: str, *rust: str, gap: str = "", partly: str = "") -> Requirement:
    return Requirement(id, "trap", sentence, rust, gap, partly)


RULES = [
    # discovery
    _rule(
        "DISC-1",
        "must",
        "Toolsets come from the well-known address of each configured server and from nowhere else.",
    ),
    _rule("DISC-2", "must", "Name, endpoint, tools and their schemas are checked before a toolset is used."),
    _rule("DISC-3", "must", "An invalid toolset is refused whole, and that is told."),
    _rule(
        "DISC-4",
        "must",
        "A tool name that two offer, or that is a built-in's, is offered by nobody, and that is told.",
    ),
    _rule("DISC-5", "must", "A new root thread gets fresh definitions; its tree keeps them."),
    _rule(
        "DISC-6",
        "must",
        "When a fetch fails, an earlier copy serves if there is one; either way the failure is told.",
    ),
    _rule("DISC-7", "should", "Descriptions reach the model as they are and change nothing in the runtime."),
    _rule(
        "DISC-8",
        "should",
        "A display script runs sandboxed and bounded, and its failure shows the plain call.",
        "tests/state/display.rs::a_script_makes_a_line_of_the_arguments",
        "tests/state/display.rs::any_failure_is_none",
        "tests/state/display.rs::a_script_cannot_run_long_or_grow_large",
    ),
    _rule("DISC-9", "should", "The known annotations are read; a destructive tool asks the user first."),
    # invocation
    _rule("INV-1", "must", "A call goes to the endpoint of the toolset that offers the tool."),
    _rule(
        "INV-2",
        "should",
        "Arguments are checked before anything is sent; what is wrong is told to the model.",
    ),
    _rule(
        "INV-3",
        "must",
        "An invocation carries a unique id, a callback URL, its thread, and the thread's ancestors if any.",
    ),
    _rule("INV-4", "must", "Nobody waits for the result, and the body of the acknowledgement is never read."),
    _rule("INV-5", "should", "A lost connection or a 5xx is tried again, less and less often."),
    _rule("INV-6", "must", "A 4xx is never tried again."),
    _rule(
        "INV-7",
        "should",
        "A call that could not be delivered ends in an error result that the model can react to.",
    ),
    _rule(
        "INV-8", "ours", "A call is durable before it leaves, and leaves again under its id after a crash."
    ),
    _rule(
        "INV-9",
        "ours",
        "Any 2xx acknowledges an invocation, an answer to a question, a notice or a migration.",
    ),
    # callbacks
    _rule(
        "CB-1",
        "must",
        "Every callback is checked against its shape; a malformed one gets a 4xx and touches nothing.",
    ),
    _rule(
        "CB-2",
        "must",
        "A result for a call that is not pending never enters a conversation; its sender is told to stop.",
    ),
    _rule("CB-3", "should", "200 only once the message is durable, 5xx when it could not be made so."),
    _rule("CB-4", "should", "A message that comes twice is accepted twice and happens once."),
    _rule(
        "CB-5",
        "should",
        "A callback URL opens one call of one thread, and is checked before the body is looked at.",
    ),
    _rule(
        "CB-6",
        "must",
        "Unknown types, over-long bodies, wrong content types and bad encodings get a 4xx and crash nothing.",
    ),
    _rule(
        "CB-7",
        "ours",
        "A refused result, question or sign-in of an open call ends the call with an error that names the reason, durable before the 4xx.",
    ),
    _rule(
        "CB-8",
        "ours",
        "Callback bodies up to 8 MiB are taken; lone surrogates in their text are repaired.",
    ),
    _rule(
        "CB-9",
        "ours",
        "Only a repeat of what was accepted is a duplicate; a result for a call that failed earlier is answered as such and recorded.",
    ),
    # results
    _rule("RES-1", "must", "A result has text or content; of both, the model gets the content."),
    _rule(
        "RES-2",
        "must",
        "A model without eyes gets a text in the place of each image, and all the texts.",
        "tests/state/rendering.rs::images_become_placeholders_for_a_model_without_eyes",
    ),
    _rule("RES-3", "must", "What is displayed to people never changes what the model sees."),
    _rule("RES-4", "should", "A result that says so makes its call an active subscription of its thread."),
    _rule("RES-5", "should", "An error is an ordinary result whose text says so."),
    # subscriptions
    _rule("SUB-1", "must", "An event for what is not an active subscription of the thread is discarded."),
    _rule(
        "SUB-2",
        "must",
        "An event enters history as a synthetic call with its own result, never as a second result.",
    ),
    _rule(
        "SUB-3", "must", "The synthetic tool is offered to nobody, and a model that calls it gets an error."
    ),
    _rule("SUB-4", "should", "An associative event enters the subscribing thread itself."),
    _rule("SUB-5", "should", "Any other event gets a child thread of its own, several at once."),
    _rule("SUB-6", "must", "A final event ends the subscription."),
    _rule(
        "SUB-7",
        "must",
        "The model can cancel an active subscription; the tool servers are told; the answer comes in the same turn.",
    ),
    _rule(
        "SUB-8",
        "should",
        "Events for closed threads are recorded and dropped; subscriptions per thread are limited.",
    ),
    _rule(
        "SUB-9",
        "ours",
        "An event that overtakes its confirmation is kept beside the call, within limits, and delivered in order by the commit that confirms it.",
    ),
    # prompts and views
    _rule(
        "OAU-1",
        "must",
        "An authorisation link is shown to the user, https only, while the call stays pending.",
    ),
    _rule(
        "CHO-1",
        "must",
        "A question is shown; the answer, or the default on dismissal, goes to where it was asked.",
    ),
    _rule("CHO-2", "must", "A question has choices and a default among them, and survives a restart."),
    _rule(
        "CHO-3",
        "ours",
        "An open question or sign-in stops the deadline of its call and has a limit of its own; of two different answers the first counts.",
    ),
    _rule(
        "CHO-4",
        "ours",
        "Questions of children are shown at the root and can be answered there.",
    ),
    _rule(
        "CHO-5",
        "ours",
        "An address is compared by its origin; the loopback names of one port are one origin.",
    ),
    _rule(
        "VIEW-1",
        "must",
        "The latest content of each view is kept, shown to the thread's clients, and never interpreted.",
    ),
    # threads
    _rule(
        "THR-1",
        "must",
        "A thread's messages are processed one at a time in order; threads do not wait for each other.",
    ),
    _rule("THR-2", "must", "Closing a thread tells every tool server at once, once, and waits for none."),
    _rule("THR-3", "must", "A tool server takes every such notice with 200."),
    _rule(
        "THR-4",
        "ours",
        "A root thread is closed by a person or the API, never by the model.",
    ),
    _rule(
        "THR-5",
        "ours",
        "A parent is told when a child that it spawned ends without a report or stops for a cause inside it.",
    ),
    _rule("CAN-1", "should", "Cancelling a call tells every tool server at once, once, and waits for none."),
    _rule("CAN-2", "must", "A result that comes for a cancelled call corrupts nothing."),
    # lifecycle
    _rule("RUN-1", "must", "State that cannot be read stops the slice; it is never taken for empty."),
    _rule(
        "RUN-2",
        "should",
        "When the model fails, the message stays, the error is told, and the work is tried again.",
    ),
    _rule(
        "RUN-3",
        "must",
        "State that cannot be written is an error, and writing again is safe.",
        "tests/journal/failing.rs::a_group_that_cannot_be_written_fails_whole_and_the_next_one_succeeds",
    ),
    _rule("RUN-4", "should", "The agent answers its user while tools run."),
    _rule("RUN-5", "should", "A call has a deadline, after which the model gets an error."),
    _rule(
        "MIG-1",
        "must",
        "Servers that keep state of their own are asked to move it, and only those.",
    ),
    _rule("MIG-2", "must", "A move happens in order, or not at all."),
    # the kit for tool servers
    _rule("SRV-1", "must", "A tool server describes itself, and acknowledges a call before doing the work."),
    _rule("SRV-2", "must", "Whatever goes wrong with a call is acknowledged and answered with an error."),
    _rule("SRV-3", "should", "A callback is sent again on 5xx and lost connections, and never after a 4xx."),
    _rule(
        "SRV-4",
        "must",
        "A subscription is durable before it is confirmed, goes on after a restart, and ends for good.",
    ),
    _rule("SRV-5", "should", "Notices of closing and cancelling are always taken, whatever they name."),
    _rule("SRV-6", "ours", "An invocation that arrives twice runs once."),
    _rule(
        "SRV-7",
        "ours",
        "A tool server started by another runtime says its port first and nothing else on its standard output.",
    ),
    _rule(
        "SRV-8",
        "ours",
        "The state file of a tool server can be read by its owner only.",
    ),
]

TRAPS = [
    _trap("L1", "A callback is acknowledged before it is durable."),
    _trap("L2", "An input becomes durable only when the completion ends."),
    _trap("L3", "A crash between commit and sending leaves a thread waiting for ever."),
    _trap("L4", "Talking kills the running call."),
    _trap("L5", "An event interrupts the call whose result is right behind it."),
    _trap("L6", "Only the first call of a turn survives."),
    _trap(
        "L7",
        "Compaction disconnects subscriptions, reports and late results.",
        "tests/state/summaries.rs::compaction_does_not_disconnect_subscriptions_and_late_results",
    ),
    _trap("L8", "A call is sent out of a turn that then breaks."),
    _trap("L9", "The model's call ids are taken for unique."),
    _trap("L10", "An error on loading or configuration discards the message."),
    _trap(
        "L11",
        "A failed append is counted all the same.",
        "tests/journal/failing.rs::a_group_that_cannot_be_written_fails_whole_and_the_next_one_succeeds",
    ),
    _trap("L12", "A thread is closed first and its report saved second."),
    _trap("L13", "A child is created, filled and seeded in several steps."),
    _trap("L14", "Timers, retries and deferred messages live in memory."),
    _trap("L15", "A start does not pick up what was going on."),
    _trap(
        "L16",
        "A torn file loads as empty and is overwritten.",
        "tests/journal/opening.rs::a_file_that_is_no_database_is_damaged",
        "tests/journal/opening.rs::an_empty_file_is_damaged_and_not_a_new_journal",
        "tests/state/records.rs::a_flipped_bit_or_a_torn_end_is_noticed_wherever_it_is",
    ),
    _trap("L17", "A graceful stop loses what it could have committed."),
    _trap("L18", "The model fails for good and nobody is told."),
    _trap("L19", "The address of callbacks changes with every start."),
    _trap("L20", "Content that the model API refuses stays in history and makes every later request fail."),
    _trap(
        "L21",
        "A truncated or damaged write-ahead log is taken for a shorter one.",
        "tests/journal/damaging.rs::a_broken_frame_with_two_transactions_behind_it_is_damage",
        "tests/journal/damaging.rs::after_a_kill_the_last_transaction_is_missed_too",
        "tests/journal/damaging.rs::a_look_with_another_tool_stops_the_start",
    ),
    _trap("L22", "An event that overtakes its confirmation is acknowledged and dropped."),
    _trap(
        "L23",
        "The advertised repair does nothing when the file opens.",
        "tests/journal/salvaging.rs::a_journal_that_opens_is_written_anew_and_loses_nothing",
        "tests/journal/salvaging.rs::transactions_behind_a_broken_frame_are_salvaged",
        "tests/journal/examining.rs::whichever_sector_is_zeroed_rows_that_vanish_are_missed",
    ),
    _trap("L24", "A person's question dies with the deadline of its call."),
    _trap("L25", "Threads that an expired key stopped stay stopped for ever."),
    _trap("L26", "Leaving a client cancels the work."),
    _trap("R1", "Dedup state that cannot be read counts as empty."),
    _trap(
        "R2",
        "Dedup state grows until writing it fails silently.",
        "tests/state/dedup.rs::an_id_costs_at_most_32_bytes_at_any_size_from_a_thousand_on",
        "tests/state/dedup.rs::a_set_that_cannot_be_read_is_an_error_and_never_empty",
    ),
    _trap("R3", "A retried event is a second event."),
    _trap("R4", "Two slices drop each other's entries."),
    _trap("R5", "A provider that always breaks late is paid for ever."),
    _trap("R6", "Redelivery makes a second child for the same event."),
    _trap("R7", "An exception of an unnamed class after the completion repeats the paid slice for ever."),
    _trap("R8", "Each message that comes during an outage sets a retry timer of its own."),
    _trap("R9", "A call that has ended keeps its outbox row and is sent."),
    _trap("R10", "A result that cannot be recorded runs the function again."),
    _trap("R11", "A message consumed elsewhere makes every commit conflict."),
    _trap("R12", "Two daemons on one database both send."),
    _trap("B1", "One server that never answers holds up others."),
    _trap("B2", "Servers are told one after the other."),
    _trap("B3", "A call that never returns blocks its thread for ever."),
    _trap(
        "B4",
        "A display script runs without limits.",
        "tests/state/display.rs::a_script_cannot_run_long_or_grow_large",
        "tests/state/display.rs::a_greedy_script_does_not_spoil_the_next_one",
    ),
    _trap("B5", "A look-up for one thread delays all."),
    _trap("B6", "A panic under a lock poisons the daemon."),
    _trap("B7", "Two starts at once leave one daemon orphaned."),
    _trap("B8", "Stopping does not stop; looking revives."),
    _trap("B9", "Compaction overlaps, recurses or repeats after failing."),
    _trap("B10", "The schema of a tool holds up the event loop."),
    _trap(
        "B11",
        "A background task dies of an exception that nobody named, and nothing fires any more.",
    ),
    _trap(
        "B12",
        "Slow functions take the threads of everybody else, and the program cannot end.",
    ),
    _trap("B13", "The bad token or schema of one server stops every conversation."),
    _trap("B14", "Half requests hold descriptors for ever."),
    _trap("B15", "A slice that does not fit into the store's transaction is tried again for ever."),
    _trap("G1", "History is copied or serialized anew for every request."),
    _trap("G2", "Queues, bodies, threads or subscriptions have no bound."),
    _trap("G3", "Every event leaves a thread that all listings walk."),
    _trap("G4", "Children share no cached prefix with their parent."),
    _trap("G5", "The whole transcript is sent again on every reconnect."),
    _trap("G6", "Bytes in flight are unbounded."),
    _trap("G7", "Nothing that was stored is ever removed."),
    _trap("G8", "A counter of living things never goes down."),
    _trap("G9", "Log files, view types and watchers grow without bound."),
    _trap("S1", "The callback endpoint takes anything from anybody."),
    _trap("S2", "Ids are used as file names."),
    _trap("S3", "URLs and redirects are followed anywhere."),
    _trap("S4", "A web page can reach the daemon."),
    _trap("S5", "A project's configuration runs commands unasked."),
    _trap("S6", "Events and results are taken for what is not pending."),
    _trap("S7", "Signatures and tokens go to third parties."),
    _trap("S8", "Webhooks are taken without a signature."),
    _trap("S9", "Prompts, results or secrets end up in logs."),
    _trap("S10", "Manifests are not checked."),
    _trap("S11", "The last speaker is taken for everybody."),
    _trap("S12", "A question shows less than what is sent."),
    _trap("S13", "Untrusted files are printed raw at a trust prompt."),
    _trap("S14", "An import sends pending calls past the policy of this host."),
    _trap("S15", "Sign-in metadata of a server makes the bridge call internal addresses."),
    _trap("M1", "Malformed arguments end the turn and the model never hears of it."),
    _trap("M2", "Failures reach the model as one generic sentence."),
    _trap("M3", "Reasoning that the provider wants back is dropped."),
    _trap("M4", "A user can forge the runtime's own markers."),
    _trap("M5", "Discarded text stays on the screen."),
    _trap("M6", "The agent is never told the time."),
    _trap("M7", "The model hears that a server may be down for a call that was acknowledged."),
    _trap("M8", "An empty, cut-off or failed turn is taken for an answer."),
]

LEDGER = {requirement.id: requirement for requirement in (*RULES, *TRAPS)}
