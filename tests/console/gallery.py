"""The conversations of the guide's pictures: what a small shop's agent is asked, and what it answers, by a script."""

from __future__ import annotations

import functools
from typing import Any

from infinity.models.prompt_view import PromptView
from infinity.models.script import Reply, Script

CONFIG = """
[models]
default = "careful"
[models.providers.scripted]
script = "tests.console.gallery:script"
pace = 0.01
[models.providers.other]
kind = "scripted"
script = "tests.console.gallery:script"
[models.named.careful]
model = "scripted/careful"
price = [5.0, 25.0, 0.5, 6.25]
[models.named.quick]
model = "scripted/quick"
price = [0.8, 4.0, 0.08, 1.0]
[models.named.spare]
model = "other/spare"
[toolsets.kitchen]
url = "http://127.0.0.1:{port}"
[policy]
destructive = "ask"
"""

REPORT = """**412 parcels** left on Monday, 31 more than a week ago.

| carrier | parcels | late |
|---|---|---|
| Nordpost | 238 | 4 |
| Swift | 121 | 0 |
| by hand | 53 | 1 |

Nordpost is late for the third Monday in a row. I would ask them before the next order of labels."""

TOLD: dict[str, tuple[str, str, dict[str, str]]] = {
    "nightly": (
        "Nightly build of the price list",
        "spare",
        {"Build the price list and check it.": "price list"},
    ),
    "bergen": ("Trip to Bergen", "careful", {"When does the train to Bergen leave on Friday?": "9:40"}),
    "names": ("", "quick", {"Find three names for the new rye bread": "Night Shift"}),
    "bakery": ("Wait for the bakery", "quick", {"Ask the bakery again tomorrow at six.": "I will ask them"}),
    "oven": (
        "Clean up the pantry",
        "careful",
        {"Tidy up the pantry, but keep the sourdough.": "I would throw it away"},
    ),
    "parcels": (
        "Parcel report for Monday",
        "careful",
        {
            "How many parcels left on Monday?": "412 parcels",
            "Thanks. Bake for tomorrow, and order flour if it is short.": "The oven is on",
        },
    ),
}
"""Title, model, and what is said with words of its answer, by thread, in the order in which they begin."""


def script() -> Script:
    made = Script()
    for about, answer in (
        ("price list", Reply().fail(401, message="the key is not valid")),
        ("train to Bergen", Reply().say("The next one leaves at 9:40 and is in Bergen at 16:25. Shall I ask for two seats?").tokens(input_tokens=2_900, cache_read_input_tokens=11_000)),
        ("rye bread", Reply().say("*Night Shift*, *Black Harbour* and *Slow Monday*.").tokens(input_tokens=1_200)),
        ("Ask the bakery", Reply().say("I will ask them again tomorrow.").call("sleep", seconds=43_200)),
        ("Tidy up", Reply().think("The sourdough stays. The bread on shelf 3 is from last week.").say("The bread on shelf 3 is a week old. I would throw it away.").call("throw_away", article="rye bread of last week", shelf="3")),
    ):  # fmt: skip
        made = made.when(about).reply(answer)
    return (
        made.when("How many parcels")
        .answer(_after_a_refusal(Reply().think("The count first, then the carriers.").say("I look it up.").call("price", sku="labels-A7")))
        .when_result("price").reply(Reply().say(REPORT).tokens(input_tokens=5_400, cache_read_input_tokens=38_000))
        .when("Bake for tomorrow").reply(Reply().say("The oven is on. There is flour for one day, so I ask you before I order.").call("bake", loaves=48).call("order", article="flour, 25 kg").tokens(input_tokens=1_100, cache_read_input_tokens=44_000))
        .otherwise().say("Noted.")
    )  # fmt: skip


def _after_a_refusal(reply: Reply) -> Any:
    """A provider that is overloaded once, and then answers."""

    @functools.cache
    def asked() -> list[int]:
        return []

    def answer(_: PromptView) -> Reply:
        asked().append(1)
        return Reply().fail(529, retry_after=0.4) if len(asked()) == 1 else reply

    return answer
