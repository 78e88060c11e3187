"""What answers where no model is configured: enough to see the example work, and to test it."""

from infinity.models.prompt_view import PromptView
from infinity.models.script import Script


def script() -> Script:
    return (
        Script()
        .when_event("run_pipeline", "has ended")
        .say(lambda prompt: f"Done. {last_line(prompt)}")
        .when_event("run_pipeline")
        .say(lambda prompt: f"It goes on: {last_line(prompt)}")
        .when("run")
        .call("run_pipeline", pipeline="test", report_every_seconds=0.2)
        .when_result("run_pipeline")
        .say("The tests run. I tell you what they print and how they end.")
        .otherwise()
        .say("Say: run the tests.")
    )


def last_line(prompt: PromptView) -> str:
    return prompt.events[-1].text.strip().splitlines()[-1]
