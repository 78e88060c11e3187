"""The office's desks, as tools on Lambda."""

import hashlib
import os

from infinity.rap import ToolError, Toolset

tools = Toolset("office", "Desks in the office, and who sits there.")

DESKS = ("window", "corner", "kitchen")


@tools.tool(read_only=True)
async def free_desks(day: str) -> list[str]:
    """Which desks are free on a day (YYYY-MM-DD)."""
    return [desk for desk in DESKS if hashlib.sha256(f"{day} {desk}".encode()).digest()[0] % 3]


@tools.tool(idempotent=True)
async def reserve(desk: str, day: str, person: str) -> str:
    """Reserve a desk for somebody. Reserving it again for the same person changes nothing."""
    if desk not in await free_desks(day):
        raise ToolError(f"the desk {desk!r} is not free on {day}; ask free_desks which are")
    return f"The desk by the {desk} is {person}'s on {day}."


handler = tools.lambda_handler(table=os.environ.get("CALLS_TABLE"))
