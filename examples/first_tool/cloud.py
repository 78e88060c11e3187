import os

from infinity.rap import ToolError, Toolset

tools = Toolset("scales", "Weighs things.")


@tools.tool(read_only=True)
async def weigh(item: str, grams: float) -> str:
    """How heavy something is, in words."""
    if grams < 0:
        raise ToolError("nothing weighs less than nothing")
    return f"{item} is {'heavy' if grams > 1000 else 'light'}."


handler = tools.lambda_handler(token=os.environ.get("TOKEN"), table=os.environ.get("CALLS_TABLE"))
