"""What answers where no model is configured: enough to see the example work, and to test it."""

from infinity.models.script import Script


def script() -> Script:
    return Script().otherwise().say(lambda prompt: f"You said: {prompt.text.splitlines()[-1]}")
