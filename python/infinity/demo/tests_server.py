"""A tool server whose one tool takes its time: it runs a test suite, really, and answers when it has ended."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from infinity.demo.reporting import main, report, say
from infinity.rap.server import Call, ToolError, Toolset

SUITES = {"delivery": Path(__file__).parent / "suite"}
LONGEST_OUTPUT = 4_000

tools = Toolset("tests", "Runs the project's test suites.")


@tools.tool(read_only=True, long_running=True, display_script='"run the " + args.suite + " tests"')
async def run_tests(suite: str, call: Call) -> str:
    """Run one of the project's test suites (there is: delivery) and return what it printed. Takes several seconds."""
    if suite not in SUITES:
        raise ToolError(f"there is no suite {suite!r}; there are: {', '.join(SUITES)}")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-B",
        "-m",
        "unittest",
        cwd=SUITES[suite],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    say(f"python -m unittest started, pid {process.pid}")
    report("invoked", id=call.id)
    output, _ = await process.communicate()
    say(f"python -m unittest ended with status {process.returncode}")
    return f"exit status {process.returncode}\n\n{output.decode(errors='replace')[-LONGEST_OUTPUT:]}"


if __name__ == "__main__":
    main(tools)
