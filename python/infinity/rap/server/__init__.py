"""The kit for writing tool servers: typed functions become tools, their answers find their way back, restarts included.

tools = Toolset("ci", "What the build machines know.")

@tools.tool
async def status(branch: str) -> str:
    \"\"\"The state of a branch's last build.\"\"\"
    return await builds.status(branch)

serve(tools, port=8801, state_path="ci.db")
"""

from infinity.functions.failure import ToolError

from .call import Call, Event, Image, Result, Subscription
from .limits import Limits
from .serving import ToolsetServer, serve
from .toolset import Toolset, Webhook

__all__ = [
    "Call",
    "Event",
    "Image",
    "Limits",
    "Result",
    "Subscription",
    "ToolError",
    "Toolset",
    "ToolsetServer",
    "Webhook",
    "serve",
]
