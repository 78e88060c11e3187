from infinity import Agent, tool
from infinity.testing import Script


@tool
async def arrived(parcel: str) -> bool:
    """Whether a parcel has arrived."""
    return parcel == "P1"


SCRIPT = (
    Script()
    .when("three days")
    .call("sleep", seconds=3 * 24 * 3600)
    .then()
    .call("arrived", parcel="P1")
    .then()
    .say(lambda prompt: "P1 is there." if prompt.results[0].text == "true" else "Not yet.")
)


async def test_a_parcel_is_looked_for_after_three_days_and_a_crash(infinity_kit):
    async with infinity_kit(Agent(tools=[arrived]), SCRIPT) as kit:
        chat = await kit.conversation("Look for P1 in three days.")
        await kit.advance(days=2)
        await kit.crash()
        assert await chat.said() == []
        await kit.advance(days=1)
        assert await chat.said() == ["P1 is there."]
