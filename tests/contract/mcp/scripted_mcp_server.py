"""An MCP server that does what a test needs: ``stdio`` or ``http PORT``, then the ways in which it misbehaves.

``hang``: reads and never answers. ``crash``: exits at once. ``endless``: lists tools for ever. ``garbage``: prints lines that are no messages. ``journal FILE``: notes each call.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import anyio
from mcp.server.elicitation import AcceptedElicitation, ElicitationResult
from mcp.server.extension import Extension, MethodBinding
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.resolve import Elicit, Resolve
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from mcp_types import (
    METHOD_NOT_FOUND,
    AudioContent,
    CallToolResult,
    EmbeddedResource,
    ErrorData,
    JSONRPCError,
    JSONRPCRequest,
    RequestParams,
    ResourceLink,
    TextContent,
    TextResourceContents,
    ToolAnnotations,
)
from pixel import PIXEL
from pydantic import BaseModel, Field

TASKS = "io.modelcontextprotocol/tasks"


class TaskParams(RequestParams):
    task_id: str = Field(alias="taskId")
    input_responses: dict[str, Any] | None = Field(default=None, alias="inputResponses")


class LongWork(Extension):
    """Calls of ``long_work`` become tasks: done when the file ``finish`` is there, ``ask`` lets them ask before."""

    identifier = TASKS

    def __init__(self) -> None:
        self.asked: dict[str, bool] = {}
        self.answers: dict[str, Any] = {}
        self.cancelled: set[str] = set()
        self.files: dict[str, Path] = {}

    async def intercept_tool_call(self, params: Any, ctx: Any, call_next: Any) -> Any:
        if params.name != "long_work":
            return await call_next(ctx)
        task = f"task-{len(self.asked)}"
        note(f"began {task}")
        self.asked[task] = bool(params.arguments.get("ask"))
        self.files[task] = Path(params.arguments["finish"])
        return {**self.state(task), "resultType": "task"}

    def methods(self) -> list[MethodBinding]:
        async def get(_: Any, params: TaskParams) -> Any:
            note(f"asked for {params.task_id}")
            return self.state(params.task_id)

        async def update(_: Any, params: TaskParams) -> Any:
            self.answers[params.task_id] = params.input_responses
            return {}

        async def cancel(_: Any, params: TaskParams) -> Any:
            note(f"cancelled {params.task_id}")
            self.cancelled.add(params.task_id)
            return {}

        return [
            MethodBinding("tasks/get", TaskParams, get),
            MethodBinding("tasks/update", TaskParams, update),
            MethodBinding("tasks/cancel", TaskParams, cancel),
        ]

    def state(self, task: str) -> dict[str, Any]:
        state: dict[str, Any] = {
            "taskId": task,
            "status": "working",
            "statusMessage": "counting",
            "createdAt": "2026-08-01T00:00:00Z",
            "lastUpdatedAt": "2026-08-01T00:00:00Z",
            "ttlMs": None,
            "pollIntervalMs": 200,
        }
        if self.asked[task] and task not in self.answers:
            schema = {"type": "object", "properties": {"go": {"type": "boolean"}}, "required": ["go"]}
            question = {"mode": "form", "message": "Go on?", "requestedSchema": schema}
            state["status"] = "input_required"
            state["inputRequests"] = {"q1": {"method": "elicitation/create", "params": question}}
        elif self.files[task].exists():
            said = f"finished {task} {self.answers.get(task) or ''}".strip()
            state["status"] = "completed"
            state["result"] = {"content": [{"type": "text", "text": said}], "isError": False}
        return state


server = MCPServer("scripted", instructions="Does what tests need.", extensions=[LongWork()])
journal: Path | None = None


def note(word: str) -> None:
    if journal is not None:
        with journal.open("a") as file:
            file.write(word + "\n")


class Answers(BaseModel):
    sure: bool = Field(title="Are you sure?")
    size: Literal["small", "large"] = Field(title="Which size?")


class FreeText(BaseModel):
    name: str


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> int:
    """Add two numbers."""
    note("add")
    return a + b


@server.tool()
async def count(key: str) -> str:
    """Note a key, which must not be noted twice."""
    note(f"count {key}")
    return f"counted {key}"


@server.tool(annotations=ToolAnnotations(destructive_hint=True))
def wipe() -> str:
    """Remove everything."""
    return "gone"


@server.tool()
def weather(city: Annotated[str, Field(description="Where")]) -> dict[str, Any]:
    """Structured content that no text repeats."""
    return {"city": city, "degrees": 21}


@server.tool()
def summary() -> CallToolResult:
    """A text beside structured content that says more."""
    return CallToolResult(content=[TextContent(text="two rows")], structured_content={"rows": [1, 2]})


@server.tool(structured_output=False)
def picture() -> list[Any]:
    """A text and an image."""
    return ["a pixel", Image(data=PIXEL, format="png")]


@server.tool()
def mixed() -> CallToolResult:
    """Everything that is neither text nor image."""
    return CallToolResult(
        content=[
            AudioContent(data=base64.b64encode(b"sound").decode(), mime_type="audio/wav"),
            EmbeddedResource(resource=TextResourceContents(uri="memo://embedded", text="embedded words")),
            ResourceLink(name="report", uri="memo://report", mime_type="text/plain"),
        ]
    )


@server.tool()
def fail() -> str:
    """Always fails."""
    raise ToolError("the disk is full")


@server.tool()
async def slow(seconds: float = 60.0, steps: int = 0) -> str:
    """Take long, without a word."""
    note("slow began")
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        note("slow cancelled")
        raise
    return "done at last"


@server.tool()
async def report(ctx: Context[Any, Any], steps: int, pause: float) -> str:
    """Take long, and report progress."""
    for step in range(steps):
        await ctx.report_progress(step + 1, steps, f"step {step + 1}")
        await asyncio.sleep(pause)
    return "reported"


@server.tool()
async def die() -> str:
    """End the process in the middle of the call."""
    note("die")
    os._exit(3)


@server.tool(annotations=ToolAnnotations(idempotent_hint=True))
async def die_once(marker: str) -> str:
    """End the process in the first call only."""
    if not Path(marker).exists():
        Path(marker).touch()
        os._exit(3)
    return "second time"


@server.tool()
async def ask(ctx: Context[Any, Any]) -> str:
    """Ask the user two things."""
    answer = await ctx.elicit("Before I order:", Answers)
    if isinstance(answer, AcceptedElicitation):
        return f"sure={answer.data.sure} size={answer.data.size}"
    return f"not ordered: {answer.action}"


async def sure() -> Elicit[Answers]:
    return Elicit("Before I order:", Answers)


@server.tool()
async def ask_first(answer: Annotated[ElicitationResult[Answers], Resolve(sure)]) -> str:
    """Ask the user two things, in whatever way the protocol's version has for it."""
    if isinstance(answer, AcceptedElicitation):
        return f"sure={answer.data.sure} size={answer.data.size}"
    return f"not ordered: {answer.action}"


@server.tool()
async def ask_name(ctx: Context[Any, Any]) -> str:
    """Ask the user for a text."""
    answer = await ctx.elicit("Who are you?", FreeText)
    return f"answer: {answer.action}"


@server.tool()
async def ask_visit(ctx: Context[Any, Any]) -> str:
    """Send the user to a page."""
    answer = await ctx.elicit_url("Pay first.", "https://pay.example/1", "pay-1")
    return f"payment: {answer.action}"


@server.tool(structured_output=False)
async def long_work(finish: str, ask: bool = False) -> str:
    """Takes days, as a task."""
    return "this client knows no tasks"


@server.tool()
async def grow(ctx: Context[Any, Any]) -> str:
    """Offer one more tool from now on, and say so."""

    def extra() -> str:
        """Came later."""
        return "extra!"

    server.add_tool(extra, name="extra")
    await ctx.notify_tools_changed()
    return "grown"


@server.resource("memo://report", name="report", description="The report.", mime_type="text/plain")
def memo() -> str:
    return "all is well"


def endless(message: dict[str, Any]) -> str:
    """A list of tools whose cursor leads to itself."""
    answer: dict[str, Any] = {"error": {"code": -32601, "message": "Method not found"}}
    if message["method"] == "initialize":
        about = {"name": "endless", "version": "1"}
        answer = {
            "result": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": about}
        }
    elif message["method"] == "tools/list":
        tool = {"name": "never", "inputSchema": {"type": "object"}}
        answer = {"result": {"tools": [tool], "nextCursor": "again"}}
    return json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}) if "id" in message else ""


def misbehave(ways: list[str]) -> None:
    if "crash" in ways:
        sys.stderr.write("no licence\n")
        sys.exit(7)
    if "hang" in ways:
        while True:
            time.sleep(60)
    if "endless" in ways:
        for line in sys.stdin:
            print(endless(json.loads(line)), flush=True)
    if "garbage" in ways:
        print("Starting up, please wait", flush=True)
        print('{"half": ', flush=True)


async def run_legacy() -> None:
    """As servers were before 2026-07-28: they know no discovery, and take the handshake."""
    async with stdio_server() as (read, write), anyio.create_task_group() as group:
        forward, filtered = anyio.create_memory_object_stream[Any](0)

        async def filter_discovery() -> None:
            async with forward:
                async for each in read:
                    request = each.message
                    if isinstance(request, JSONRPCRequest) and request.method == "server/discover":
                        unknown = ErrorData(code=METHOD_NOT_FOUND, message="Method not found")
                        await write.send(
                            SessionMessage(JSONRPCError(jsonrpc="2.0", id=request.id, error=unknown))
                        )
                    else:
                        await forward.send(each)

        group.start_soon(filter_discovery)
        inner = server._lowlevel_server
        await inner.run(filtered, write, inner.create_initialization_options())


def main() -> None:
    global journal
    transport, *rest = sys.argv[1:]
    if "journal" in rest:
        journal = Path(rest[rest.index("journal") + 1])
        note("started")
    if transport == "http":
        server.run("streamable-http", host="127.0.0.1", port=int(rest[0]), stateless_http="stateless" in rest)
        return
    misbehave(rest)
    if "legacy" in rest:
        asyncio.run(run_legacy())
    else:
        server.run("stdio")


if __name__ == "__main__":
    main()
