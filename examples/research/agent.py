"""Research that fans out: a child thread for every subject, each reports, one report comes of it. In your own program, without a daemon.

Stop it or kill it at any time and start it again: it goes on where it was.
"""

import argparse
import asyncio
import json
import os
from pathlib import Path

from offline import script

from infinity import Agent, Runtime, tool
from infinity.models.registry import Models
from infinity.models.scripted import ScriptedModel

LIBRARY = Path(__file__).parent / "library"
REPORT = Path("report.md")

INSTRUCTIONS = """
You research a question in a small library. Give each subject a thread of its own, all in one turn. In such a thread: search, then close
the thread with a report of at most three sentences. When every thread has reported, publish one report, and only then."""


@tool(read_only=True)
def search(subject: str) -> str:
    """What the library has on a subject; there are: journals, queues, agents."""
    source = LIBRARY / f"{subject}.txt"
    if source.parent != LIBRARY or not source.is_file():
        raise ValueError(
            f"nothing on {subject!r}; there are: {', '.join(each.stem for each in LIBRARY.iterdir())}"
        )
    return source.read_text()


@tool
def publish(title: str, findings: list[str]) -> str:
    """Publish the finished report."""
    # A call that was cut off by a crash is made again: writing the whole file again does no harm.
    draft = REPORT.with_suffix(".draft")
    draft.write_text(f"# {title}\n\n" + "\n\n".join(findings) + "\n")
    os.replace(draft, REPORT)
    return f"Published as {REPORT}."


async def research(question: str, journal: Path, models: Models | None) -> None:
    agent = Agent(instructions=INSTRUCTIONS, tools=[search, publish])
    async with Runtime.open(agent, journal, models=models) as runtime:
        # With an id and a key of our own, starting again repeats nothing.
        thread = await runtime.create(id="research", title=question)
        await runtime.send(thread, question, key="question")
        publishing = ""
        async for event in runtime.watch(thread):
            data = json.loads(event.data)
            if event.position is None:
                continue  # a live event; the durable one follows
            if event.kind == "entry" and data["kind"] == "turn":
                for block in data["assistant"]:
                    if block["type"] == "text":
                        print(block["text"], flush=True)
            elif event.kind == "child":
                print("  thread", data["id"], flush=True)
            elif event.kind == "problem":
                print("  problem:", data["text"], flush=True)
            elif event.kind == "call" and data["tool"] == "publish":
                publishing = data["id"]
            elif event.kind == "call_ended" and data["id"] == publishing:
                return


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("question", nargs="?", default="What makes an agent durable?")
    options.add_argument("--journal", type=Path, default=Path("research.db"))
    options.add_argument("--real", action="store_true", help="Ask the configured model, not offline.py.")
    chosen = options.parse_args()
    models = None if chosen.real else Models(providers={"scripted": ScriptedModel(script())})
    asyncio.run(research(chosen.question, chosen.journal, models))
    print(REPORT.read_text())


if __name__ == "__main__":
    main()
