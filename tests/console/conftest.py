"""The console in a real browser against a real daemon. `make console` runs this folder; `make test` does not, because it needs Chromium."""

from __future__ import annotations

import importlib.util
import os
import shutil

import pytest

_CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

if os.environ.get("INFINITY_CONSOLE") != "1":
    collect_ignore_glob = ["test_*.py"]
elif importlib.util.find_spec("playwright") is None:
    pytest.skip("playwright is not installed; 'make console' installs it", allow_module_level=True)
elif _CHROMIUM is None:
    pytest.skip("Chromium was not found (Debian: apt install chromium)", allow_module_level=True)
else:
    pytest_plugins = ["tests.console.stage"]
