"""Moving: a conversation to another daemon, to a file, and from one, as the daemon's API offers it.

These operations are the daemon's own (``local/app.py``), because they send and receive files of gigabytes: a file is never in memory as a whole. What happens to the conversation
is decided in ``departures`` and ``arrivals``; here is only the way of the bytes.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from infinity.api.errors import Refused
from infinity.api.requests import Export, Migration
from infinity.api.responses import ImportedTree, InService, Moved, Resting, respond
from infinity.errors import BadRequest, Conflict, DamagedStore, NewerStore

from ..backend import BACKEND
from ..http import received, response
from .moves import Moves

__all__ = [
    "export_thread",
    "forget_import",
    "import_file",
    "migrate_thread",
    "put_import",
    "start_import",
    "undo_export",
]

LARGEST_FILE = 8 << 30
SLOWEST_PIECE = 60.0
"""Seconds that a sender may be silent."""
_PIECE = 1 << 18


async def migrate_thread(request: web.Request) -> web.Response:
    """200 when it runs at the destination; any failure before that leaves it here, in service (MIG-2)."""
    asked = received(request)
    root = asked.id()
    migration = await asked.json(Migration)
    moved = await _moves(request).departures.migrate(root, migration.destination, migration.token)
    return response(respond(Moved("moved", root, moved.to, len(moved.threads))))


async def export_thread(request: web.Request) -> web.StreamResponse:
    """The whole tree as one file. If it cannot be sent to its end, the conversation stays in service here."""
    asked = received(request)
    root = asked.id()
    wanted = await asked.json(Export, optional=True)
    sent = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
    try:
        async with _moves(request).departures.export(root, keep=wanted.keep) as file:
            sent.content_length = file.stat().st_size
            await sent.prepare(request)
            with file.open("rb") as content:
                while piece := content.read(_PIECE):
                    await sent.write(piece)
            await sent.write_eof()
    except ConnectionError:
        if not sent.prepared:
            raise
    return sent


async def undo_export(request: web.Request) -> web.Response:
    root = received(request).id()
    await _moves(request).departures.undo_export(root)
    return response(respond(InService("in service", root)))


async def import_file(request: web.Request) -> web.Response:
    """Into service at once: what it has queued, unsent and timed goes on here. 409 if it is in service here, or if the file is older than what is
    known here of the conversation; a copy that was exported from here gives way to a file that is newer."""
    async with _uploaded(request) as file, _explained(file):
        imported, callbacks = await _moves(request).arrivals.take_in(file)
    found = ImportedTree("imported", imported.root, callbacks, imported.replaced, imported.copy)
    return response(respond(found, status=201))


async def put_import(request: web.Request) -> web.Response:
    """The first half of a move: it rests here until it is started."""
    root = received(request).id()
    async with _uploaded(request) as file, _explained(file):
        callbacks = await _moves(request).arrivals.take_in_resting(root, file)
    return response(respond(Resting("resting", root, callbacks), status=201))


async def start_import(request: web.Request) -> web.Response:
    root = received(request).id()
    await _moves(request).arrivals.start(root)
    return response(respond(InService("in service", root)))


async def forget_import(request: web.Request) -> web.Response:
    root = received(request).id()
    await _moves(request).arrivals.forget(root)
    return response(respond(InService("forgotten", root)))


def _moves(request: web.Request) -> Moves:
    moves = request.app[BACKEND].moves
    assert moves is not None, "the routes are served by hosts that move conversations"
    return moves


@asynccontextmanager
async def _uploaded(request: web.Request) -> AsyncIterator[Path]:
    """The body as a file in the home, closed to others, for the time of the block."""
    if request.content_type != "application/octet-stream":
        raise Refused(
            415, "content_type", "send the exported file with 'Content-Type: application/octet-stream'"
        )
    with tempfile.TemporaryDirectory(prefix=".moving.", dir=request.app[BACKEND].home) as directory:
        path = Path(directory) / "tree.db"
        await _receive(request, path)
        yield path


async def _receive(request: web.Request, path: Path) -> None:
    size = 0
    with path.open("xb") as file:
        while True:
            try:
                piece = await asyncio.wait_for(request.content.readany(), SLOWEST_PIECE)
            except TimeoutError:
                raise Refused(408, "slow", f"nothing of the file came for {SLOWEST_PIECE:.0f} s") from None
            if not piece:
                break
            size += len(piece)
            if size > LARGEST_FILE:
                raise Refused(413, "too_large", f"the file is larger than {LARGEST_FILE} bytes")
            file.write(piece)
    if not size:
        raise BadRequest("the body is empty; send a file that 'infinity export' wrote")


@asynccontextmanager
async def _explained(file: Path) -> AsyncIterator[None]:
    """What is wrong with a file is its sender's affair, who knows nothing of the place to which it was uploaded."""
    try:
        yield
    except Conflict as error:
        raise Refused(409, "conflict", str(error)) from error
    except (DamagedStore, NewerStore) as error:
        text = str(error).replace(f"the journal {file}", "the file").replace(str(file), "the file")
        raise Refused(400, "bad_file", text) from error
