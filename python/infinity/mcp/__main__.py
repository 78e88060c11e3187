"""``python -m infinity.mcp --port PORT --state FILE``: the bridge as the daemon runs it, its specification in
the environment.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from infinity.errors import InfinityError

from .specification import ENVIRONMENT, TOKEN, read_specification

MISSING = "infinity: the bridge to MCP needs the MCP SDK; install it: pip install 'infinity-runtime[mcp]'"


def main() -> int:
    """Run the bridge until it is stopped, and return the exit status.

    The specification and the token come through the environment, because arguments are visible to every
    user of the machine (S9). They are taken out of it, so that no process that the bridge starts inherits
    them.
    """
    parser = argparse.ArgumentParser(prog="python -m infinity.mcp")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--state", required=True)
    options = parser.parse_args()
    try:
        specification = read_specification(os.environ.pop(ENVIRONMENT, ""))
        token = os.environ.pop(TOKEN, None)
        # Imported late, so that a missing SDK is one sentence and not a traceback.
        from infinity.rap.server.embedded import embedded

        from .server import prepare_logging, serve

        embedded()
        prepare_logging()
        asyncio.run(serve(specification, options.state, options.port, token))
    except ModuleNotFoundError as error:
        ours = (error.name or "").startswith(("mcp", "httpx2"))
        sys.stderr.write(f"{MISSING if ours else f'infinity: {error}'}\n")
        return 1
    except InfinityError as error:
        sys.stderr.write(f"infinity: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
