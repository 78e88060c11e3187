"""What answers where no model is configured: enough to see the example work, and to test it."""

from infinity.models.prompt_view import PromptView
from infinity.models.script import Reply, Script


def script() -> Script:
    return (
        Script()
        .when_event("watch_repository", "reports")
        .say(lambda prompt: "\n".join(event.text.rpartition("\n\n")[2] for event in prompt.events))
        .when_event("watch_repository", "pull request")
        .answer(tell)
        .when_event("watch_repository")
        .say("Nothing to tell.")
        .when("watch")
        .call("watch_repository", repository="Codertocat/Hello-World", events=["pull_request", "push"])
        .when_result("watch_repository")
        .say("I tell you when a pull request comes.")
        .otherwise()
        .say("Say: watch.")
    )


def tell(prompt: PromptView) -> Reply:
    return Reply().call("close_thread", report=prompt.events[0].text.splitlines()[0])
