from infinity.testing import Script, ToolServer
from infinity.testing.tool_server import tool

SCRIPT = (
    Script()
    .when("build")
    .call("build", branch="main")
    .when_event("build")
    .say(lambda prompt: f"The build is {prompt.events[0].text}.")
    .otherwise()
    .say("It runs.")
)


async def test_a_result_that_comes_late_and_twice_is_told_once(infinity_kit):
    async with ToolServer([tool("build")]) as server, infinity_kit(model=SCRIPT, servers=[server]) as kit:
        chat = await kit.conversation("Build main, please.")
        call = await server.invoked()
        await chat.say("How is it going?")
        assert await chat.hears("It runs.")
        await server.answer(call.id, "green")
        await server.answer(call.id, "green")
        assert await chat.hears("The build is green.")
        await kit.rest()
        assert await chat.events() == ["green"]
