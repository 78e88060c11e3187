"""The daemon's log: lines of text or JSON with ids and sizes, never content (S9)."""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import sys
import time
from pathlib import Path
from typing import Literal, TextIO

__all__ = ["start_logging", "stop_logging"]

LONGEST = 8 << 20
_LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}


def start_logging(
    path: Path, *, level: str, form: Literal["text", "json"], terminal: TextIO | None = None
) -> list[logging.Handler]:
    """Log to the file, begun anew when it has grown large, and to the terminal. Returns what ``stop_logging`` takes away."""
    formatter = _Json() if form == "json" else _Text()
    handlers: list[logging.Handler] = [
        _File(path, maxBytes=LONGEST, backupCount=1, encoding="utf-8", delay=True)
    ]
    if terminal is not None:
        handlers.append(logging.StreamHandler(terminal))
    root = logging.getLogger()
    for handler in handlers:
        handler.setFormatter(formatter)
        root.addHandler(handler)
    # Other libraries log addresses and headers at lower levels.
    root.setLevel(logging.WARNING)
    logging.getLogger("infinity").setLevel(_LEVELS[level])
    logging.raiseExceptions = False
    return handlers


def stop_logging(handlers: list[logging.Handler]) -> None:
    for handler in handlers:
        logging.getLogger().removeHandler(handler)
        handler.close()


class _File(logging.handlers.RotatingFileHandler):
    """0600 from the first byte on."""

    def _open(self) -> TextIO:  # type: ignore[override]
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return open(descriptor, "a", encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:
        # A full disk must not stop the daemon from saying so where somebody may see it.
        print(f"infinity: {self.baseFilename} cannot be written: {sys.exc_info()[1]}", file=sys.stderr)  # noqa: T201


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__(
            "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
        )
        self.converter = time.gmtime


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
