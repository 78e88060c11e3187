"""The files of the web console, read once into a table.

``index.html`` answers every page, with ``{{assets}}`` replaced by where the other files are. Those are known by their names in the table below and by no path:
whatever a request asks for, nothing but this table is looked into.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

__all__ = ["Asset", "Console", "console"]

INDEX = "index.html"
_TYPES = {
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "woff2": "font/woff2",
}
"""What is served, by the end of its name; other files of the folder (licences, types, notes) are not."""


class Asset(NamedTuple):
    """A file as it is sent, and the digest of its bytes."""

    body: bytes
    content_type: str
    digest: str


class Console(NamedTuple):
    """``page``: what each page answers; ``assets``: the other files by name, as ``app/main.js``; ``digest``: of all of them together, a part of their addresses."""

    page: bytes
    assets: Mapping[str, Asset]
    digest: str


@cache
def console() -> Console:
    """The files, as they were when this was first called in the process."""
    assets, pages = dict[str, Asset](), b""
    for name, file in sorted(_files(files(__package__))):
        kind = _TYPES.get(name.rpartition(".")[2])
        if name == INDEX:
            pages = file.read_bytes()
        elif kind is not None:
            body = file.read_bytes()
            assets[name] = Asset(body, kind, _digest(body))
    digest = _digest(pages, *(part for name in assets for part in (name.encode(), assets[name].body)))
    return Console(pages.replace(b"{{assets}}", b"/assets/" + digest.encode()), assets, digest)


def _files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _files(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry


def _digest(*parts: bytes) -> str:
    state = hashlib.sha256()
    for part in parts:
        state.update(b"%d:" % len(part))
        state.update(part)
    return state.hexdigest()[:16]
