"""The console in a real browser against a real daemon. `make console` runs this folder; `make test` does not, because it needs Chromium and playwright."""

from __future__ import annotations

import os

if os.environ.get("INFINITY_CONSOLE") != "1":
    collect_ignore_glob = ["test_*.py"]
else:
    from tests.console.stage import browser, pages, stage  # noqa: F401
