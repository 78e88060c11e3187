"""A tool that asks a person before it acts. The person may answer days later, after any number of restarts of anything."""

import os
from pathlib import Path

from link import link

from infinity.rap.server import Call, Toolset, serve

LINKS = Path("links.log")  # send them by mail or chat in earnest
DEPLOYMENTS = Path("deployments.log")

tools = Toolset("deployments", "Deploys to production.")


# Idempotent: after a crash of this server it runs again, is given the answer that was given, and finds out what was done already.
@tools.tool(idempotent=True, long_running=True, display_script='"deploy " + args.version')
async def deploy(version: str, call: Call) -> str:
    """Deploy a version to production. A person is asked first; the answer may take days."""
    note(LINKS, f"{version} {link(call.thread, f'choice.{call.id}')}")
    answer = await call.choose(f"Deploy {version} to production?", ["Deploy it", "Do not"], default=1)
    if answer != 0:
        return f"{version} was not deployed: the answer was no."
    note(DEPLOYMENTS, f"{version} for call {call.id}")
    return f"{version} is deployed."


def note(file: Path, line: str) -> None:
    """Once: a line that is there already stays as it is. The call's id is in it, so that the same version can be deployed again."""
    if not file.exists() or line not in file.read_text().splitlines():
        with file.open("a") as lines:
            lines.write(f"{line}\n")


if __name__ == "__main__":
    serve(tools, port=int(os.environ.get("PORT", "8814")), state_path="approval.db")
