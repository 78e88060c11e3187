"""What answers where no model is configured: enough to see the example work, and to test it."""

import re

from infinity.models.prompt_view import PromptView
from infinity.models.script import Reply, Script


def script() -> Script:
    return (
        Script()
        .when_event("deploy")
        .say(lambda prompt: f"About the deployment: {prompt.events[-1].text}")
        .when_result("deploy", "still running")
        .say("I asked for approval and wait for it. Is there anything else?")
        .when_result("deploy")
        .say(lambda prompt: f"About the deployment: {prompt.results[-1].text}")
        .when("deploy")
        .answer(deploy)
        .otherwise()
        .say("Say: deploy 1.2.3.")
    )


def deploy(prompt: PromptView) -> Reply:
    version = re.search(r"deploy v?(\d[\w.]*\w)", prompt.text, re.IGNORECASE)
    return Reply().call("deploy", version=version[1]) if version else Reply().say("Which version?")
