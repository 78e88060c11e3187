"""The daemon, which says on SIGUSR1 what its process holds: one line of JSON in the file that ``COUNTED`` names.

``objects``: those that the collector knows, by type; ``blocks``: all of Python's; ``heap``: bytes that malloc has given out (the core, SQLite and what is
large) and ``free``: bytes that it keeps; ``resident``: bytes of the process.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

_OUTPUT = Path(os.environ["COUNTED"])


class _Heap(ctypes.Structure):
    """``struct mallinfo2`` of glibc."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in [
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        ]
    ]


def _heap() -> tuple[int, int]:
    libc = ctypes.CDLL(None)
    try:
        libc.mallinfo2.restype = _Heap
    except AttributeError:
        return 0, 0  # another C library
    found = libc.mallinfo2()
    return found.uordblks + found.hblkhd, found.fordblks


def count() -> None:
    gc.collect()
    objects = Counter(str(type(each)) for each in gc.get_objects())
    heap, free = _heap()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    line = json.dumps(
        {
            "objects": objects,
            "blocks": sys.getallocatedblocks(),
            "heap": heap,
            "free": free,
            "resident": pages * os.sysconf("SC_PAGE_SIZE"),
        }
    )
    with _OUTPUT.open("a") as output:
        output.write(line + "\n")


def main() -> None:
    from infinity.local.daemon import Daemon

    start = Daemon.start

    async def counted(self: Daemon) -> object:
        state = await start(self)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, count)
        return state

    Daemon.start = counted  # type: ignore[method-assign,assignment]
    from infinity.cli.main import infinity

    infinity()


if __name__ == "__main__":
    main()
