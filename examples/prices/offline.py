"""What answers where no model is configured: enough to see the example work, and to test it."""

from infinity.models.script import Script


def script() -> Script:
    return (
        Script()
        .when_event("watch_price")
        .say(lambda prompt: "\n".join(event.text for event in prompt.events))
        .when("watch")
        .call("watch_price", symbol="ACME", low=95, high=105)
        .when_result("watch_price")
        .say("I watch it. You hear from me when it matters.")
        .otherwise()
        .say("Say: watch.")
    )
