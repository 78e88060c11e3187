"""What the demo's model says. It decides from the conversation alone, so a restart in the middle changes
nothing for it.
"""

from __future__ import annotations

import re

from infinity.models.prompt_view import PromptView
from infinity.models.script import Reply, Script

REPOSITORY = "Codertocat/Hello-World"
ASK = (
    f"Please run the delivery tests. Watch {REPOSITORY} too: when a pull request is opened, "
    "tell me what it is about in a sentence or two, then stop watching."
)
CHAT = "What are you doing at the moment?"


def script() -> Script:
    return (
        Script()
        .when(ASK)
        .say("I start the tests and subscribe to the repository.")
        .call("run_tests", suite="delivery")
        .call("watch_repo", repository=REPOSITORY, events=["pull_request"])
        .when(CHAT)
        .say(
            "The delivery tests are running and the subscription is active. "
            "I did not stop anything to tell you: their result will wake me."
        )
        .when_event("run_tests")
        .answer(_tests_are_done)
        .when_event("watch_repo")
        .answer(_pull_request)
        .when_result("cancel_subscription")
        .say("I have stopped watching. That was everything you asked for.")
        .otherwise()
        .answer(_both_answered)
    )


def _tests_are_done(prompt: PromptView) -> Reply:
    return Reply().say(_tests(prompt.events[-1].text) + " I go on watching the repository.")


def _tests(output: str) -> str:
    ran = re.search(r"Ran (\d+) tests? in ([\d.]+)s", output)
    failed = re.findall(r"^(?:FAIL|ERROR): (\w+)", output, re.MULTILINE)
    cause = re.search(r"^AssertionError: (.+)$", output, re.MULTILINE)
    if ran is None:
        return "The tests did not run to their end; their output says why."
    if not failed:
        return f"All {ran[1]} tests passed in {ran[2]} s."
    why = f" ({cause[1]})" if cause else ""
    return f"The tests are done: {ran[1]} ran in {ran[2]} s, {len(failed)} failed: {', '.join(failed)}{why}."


def _pull_request(prompt: PromptView) -> Reply:
    # The script reads the conversation only: after a crash it says the same as before it.
    event = prompt.events[-1]
    about = event.text.splitlines()[0] if event.text else "Something happened."
    return Reply().say(f"{about}").call("cancel_subscription", tool_call_id=event.call_id)


def _both_answered(prompt: PromptView) -> Reply:
    """Where the tests were faster than the conversation: their result came in its own turn."""
    texts = [_tests(result.text) for result in prompt.results if result.tool == "run_tests"]
    return Reply().say(" ".join(texts) or "I have nothing to add.")
