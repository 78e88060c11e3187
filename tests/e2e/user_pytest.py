"""pytest in a project of its own, as a user of the package runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PLUGINS = ("pytest_asyncio.plugin", "infinity.testing.plugin")
SECONDS = 90.0


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """With these plugins and no others, which would only cost time."""
    settings = ("asyncio_mode=auto", "asyncio_default_fixture_loop_scope=function")
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder)),
            *(argument for plugin in PLUGINS for argument in ("-p", plugin)),
            *(argument for setting in settings for argument in ("-o", setting)),
            *arguments,
        ],
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
