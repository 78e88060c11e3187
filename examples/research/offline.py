"""What answers without a model: enough to see the example work, and to test it."""

import re

from infinity.models.prompt_view import PromptView, blocks, text_of
from infinity.models.script import Reply, Script

SUBJECTS = ("journals", "queues", "agents")


def script() -> Script:
    return (
        Script()
        .when_event("spawn_thread")
        .answer(collect)
        .when_result("spawn_thread", "you are now in the child thread")
        .answer(read)
        .when_result("search")
        .answer(report)
        .when_result("publish")
        .say("That was everything.")
        .when_result("spawn_thread")
        .say("Three threads are reading.")
        .otherwise()
        .answer(fan_out)
    )


def fan_out(prompt: PromptView) -> Reply:
    reply = Reply().say("I look at three subjects at once.")
    for subject in SUBJECTS:
        reply = reply.call("spawn_thread", instructions=f"Subject: {subject}")
    return reply


def read(prompt: PromptView) -> Reply:
    """In a child: what it is for stands in the result of the call that made it."""
    seeds = [result.text for result in prompt.results if "Subject: " in result.text]
    return Reply().call("search", subject=seeds[0].rpartition("Subject: ")[2])


def report(prompt: PromptView) -> Reply:
    found = prompt.results[0]
    return Reply().call(
        "close_thread", report=f"On {found.arguments['subject']}: {found.text.splitlines()[0]}"
    )


def collect(prompt: PromptView) -> Reply:
    """Everything that was reported up to now, from the conversation: a script must not remember anything itself."""
    results = [
        block for message in prompt.messages for block in blocks(message) if block["type"] == "tool_result"
    ]
    findings = [
        found[0] for block in results if (found := re.search(r"^On \w+: .+$", text_of(block), re.MULTILINE))
    ]
    if len(findings) < len(SUBJECTS):
        return Reply().say(f"{len(findings)} of {len(SUBJECTS)} have reported.")
    return Reply().call("publish", title="What makes an agent durable", findings=findings)
