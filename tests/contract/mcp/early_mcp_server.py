"""An MCP server of 2025-11-25, made by hand of lines on a pipe: tasks as they were then, changes told unasked, and a server that stops listening.

``early_mcp_server.py JOURNAL``. The SDK's server speaks neither of these tasks nor can it fall silent.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

journal = Path(sys.argv[1])
tasks: dict[str, dict[str, Any]] = {}
answered: dict[str, threading.Event] = {}
answers: dict[str, Any] = {}
written = threading.Lock()
more = False


def note(word: str) -> None:
    with journal.open("a") as file:
        file.write(word + "\n")


def write(**message: Any) -> None:
    with written:
        print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def tool(name: str, support: str | None = None, **properties: Any) -> dict[str, Any]:
    made = {"name": name, "description": name, "inputSchema": {"type": "object", "properties": properties}}
    return made | ({"execution": {"taskSupport": support}} if support else {})


def listed() -> list[dict[str, Any]]:
    tools = [
        tool("research", "required", finish={"type": "string"}, ask={"type": "boolean"}),
        tool("deaf"),
        tool("sample"),
        tool("shrink"),
        tool("nonsense"),
        tool("huge"),
        tool("fail", "required"),
    ]
    return tools if not more else [each for each in tools if each["name"] != "fail"] + [tool("newcomer")]


def text(said: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": said}]}


def state(task: str) -> dict[str, Any]:
    known = tasks[task]
    asks = known["arguments"].get("ask") and not answered[task].is_set()
    status = "input_required" if asks else "working"
    if known["name"] == "fail":
        status = "failed"
    elif not asks and Path(known["arguments"]["finish"]).exists():
        status = "completed"
    now = "2026-08-01T00:00:00Z"
    return {
        "taskId": task,
        "status": status,
        "statusMessage": "reading",
        "createdAt": now,
        "lastUpdatedAt": now,
        "ttl": known["ttl"],
        "pollInterval": 200,
    }


def result(request: int, task: str) -> None:
    """Wait for it, in a thread of its own; ask the user first where the task wants that."""
    known = tasks[task]
    if known["name"] == "fail":
        write(id=request, error={"code": -32603, "message": "the library has burned down"})
        return
    if known["arguments"].get("ask") and not answered[task].is_set():
        schema = {"type": "object", "properties": {"deep": {"type": "boolean"}}, "required": ["deep"]}
        related = {"io.modelcontextprotocol/related-task": {"taskId": task}}
        question = {"mode": "form", "message": "Read on?", "requestedSchema": schema, "_meta": related}
        write(id=f"ask-{task}", method="elicitation/create", params=question)
        answered[task].wait()
    while not Path(known["arguments"]["finish"]).exists():
        time.sleep(0.02)
    write(id=request, result=text(f"read it all {answers.get(task, '')}".strip()))


def call(request: int, params: dict[str, Any]) -> None:
    name = params["name"]
    note(f"call {name}")
    if "task" in params:
        task = f"early-{len(tasks)}"
        tasks[task] = {"name": name, "arguments": params["arguments"], "ttl": params["task"]["ttl"]}
        answered[task] = threading.Event()
        write(id=request, result={"task": {**state(task), "status": "working"}})
    elif name == "deaf":
        while True:
            time.sleep(60)
    elif name == "nonsense":
        write(id=request, result={"content": "oops"})
    elif name == "huge":
        write(id=request, result=text("x" * 2_000_000))
    elif name == "sample":
        asked = {"messages": [], "maxTokens": 5}
        write(id="sample-1", method="sampling/createMessage", params=asked)
    elif name == "shrink":
        global more
        more = True
        write(method="notifications/tools/list_changed")
        write(id=request, result=text("there is a newcomer"))
    else:
        write(id=request, error={"code": -32602, "message": f"Unknown tool: {name}"})
    if name == "sample":
        tasks["sampling"] = {"request": request}


def answer(message: dict[str, Any]) -> None:
    match message["method"]:
        case "initialize":
            capabilities = {"tools": {"listChanged": True}, "tasks": {"requests": {"tools": {"call": {}}}}}
            about = {
                "protocolVersion": "2025-11-25",
                "capabilities": capabilities,
                "serverInfo": {"name": "early", "version": "1"},
            }
            write(id=message["id"], result=about)
        case "tools/list":
            write(id=message["id"], result={"tools": listed()})
        case "tools/call":
            call(message["id"], message["params"])
        case "tasks/get":
            note(f"asked for {message['params']['taskId']}")
            write(id=message["id"], result=state(message["params"]["taskId"]))
        case "tasks/result":
            arguments = (message["id"], message["params"]["taskId"])
            threading.Thread(target=result, args=arguments, daemon=True).start()
        case "tasks/cancel":
            note(f"cancelled {message['params']['taskId']}")
            write(id=message["id"], result=state(message["params"]["taskId"]) | {"status": "cancelled"})
        case _ if "id" in message:
            write(id=message["id"], error={"code": -32601, "message": "Method not found"})


note("started")
for line in sys.stdin:
    heard = json.loads(line)
    if "method" in heard:
        answer(heard)
    elif str(heard["id"]).startswith("ask-"):
        asked_by = str(heard["id"]).removeprefix("ask-")
        answers[asked_by] = heard["result"].get("content")
        answered[asked_by].set()
    elif heard["id"] == "sample-1":
        write(
            id=tasks["sampling"]["request"], result=text(f"sampling: {heard.get('error', {}).get('message')}")
        )
