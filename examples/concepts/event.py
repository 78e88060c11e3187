"""A subscription: its events come in threads of their own, and the parent hears what they report."""

import asyncio
import tempfile
from pathlib import Path

from infinity.testing import Kit, Script, ToolServer
from infinity.testing.tool_server import tool

SCRIPT = (
    Script()
    .when_event("watch", "Report:")
    .say(lambda prompt: f"I was told: {prompt.events[0].text}")
    .when_event("watch", "Leipzig")
    .call("close_thread", report="Report: the parcel is in Leipzig.")
    .when_event("watch")
    .call("close_thread")
    .when("watch")
    .call("watch", parcel="P1")
    .otherwise()
    .say("I watch it.")
)


async def main(folder: Path) -> None:
    post = ToolServer([tool("watch")])
    async with post, Kit(folder / "agent.db", model=SCRIPT, servers=[post]) as kit:
        chat = await kit.conversation("Watch my parcel.")
        call = await post.invoked()
        await post.answer(call.id, "P1 is watched.", subscription=True)
        await kit.rest()
        print(f"the thread: {[reason.text for reason in (await chat.status()).reasons]}")
        await kit.advance(days=30)
        for place in ("Rotterdam", "Duisburg", "Leipzig"):
            await post.event(call.id, f"P1 is in {place}.", event_id=f"P1-{place}")
        print(f"sent again: {await post.event(call.id, 'P1 is in Leipzig.', event_id='P1-Leipzig')}")
        print(f"agent: {await chat.hears('I was told')}")
        await kit.rest()
        print(f"{len(await chat.children())} events, each in a thread of its own; one reported")
        await post.event(call.id, "Report: P1 was handed over.", associative=True, final=True)
        print(f"agent: {await chat.hears('handed over')}")
        print(f"after the final event: {await post.event(call.id, 'P1 is in Rome.')}")


with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(Path(folder)))
