"""The daemon's log: lines of text or JSON with ids and sizes, never content (S9)."""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TextIO

from infinity.errors import InfinityError

__all__ = ["start_logging", "stop_logging"]

LONGEST = 8 << 20
_LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}


def start_logging(
    path: Path, *, level: str, form: Literal["text", "json"], terminal: TextIO | None = None
) -> list[logging.Handler]:
    """Log to the file, begun anew when it has grown large, and to the terminal. Returns what ``stop_logging`` takes away."""
    formatter = _Json() if form == "json" else _Text()
    formatter.whole = level == "debug"
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


class _Formatter(logging.Formatter):
    """Traces say where and what kind, not what the error says of it: a parser's error quotes what it was sent (S9)."""

    whole = False
    """Whether content may be logged, because debugging was asked for."""

    def format(self, record: logging.LogRecord) -> str:
        # Formatters keep the trace that they made beside the record, where others would take it for their own.
        kept, record.exc_text = record.exc_text, None
        try:
            return super().format(record)
        finally:
            record.exc_text = kept

    def formatException(self, exc_info: Any) -> str:
        error = exc_info[1]
        if self.whole or error is None:
            return super().formatException(exc_info)
        return "\n".join(_traced(error))


def _traced(error: BaseException, seen: frozenset[int] = frozenset()) -> Iterator[str]:
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _traced(before, seen | {id(error)})
        yield "which led to:"
    yield from (line.rstrip("\n") for line in traceback.format_tb(error.__traceback__))
    said = f": {error}" if isinstance(error, (InfinityError, OSError)) else ""
    yield f"{type(error).__qualname__}{said}"
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield "one of several:"
            yield from _traced(each, seen | {id(error)})


class _Text(_Formatter):
    def __init__(self) -> None:
        super().__init__(
            "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
        )
        self.converter = time.gmtime


class _Json(_Formatter):
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
