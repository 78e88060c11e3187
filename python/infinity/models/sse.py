"""Server-sent events, split over bytes. Both streams of providers are read with it."""

from __future__ import annotations

EVENT_BYTES = 32 << 20
"""The longest event accepted (G2)."""


class EventTooLong(ValueError):
    """An event that is longer than ``EVENT_BYTES``."""


class EventSplitter:
    """Turns chunks, cut anywhere, into the ``data`` of each complete event (WHATWG server-sent events,
    without ``id`` and ``retry``).

    Event names are not returned: the Messages API repeats them as ``type`` in the data. An event that
    the stream ends in is dropped.
    """

    __slots__ = ("_data", "_pieces", "_size")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take a chunk.

        Args:
            chunk: bytes of the body, cut anywhere.

        Returns:
            The ``data`` of the events that this chunk completes.

        Raises:
            EventTooLong: one exceeds ``EVENT_BYTES``.
        """
        if not chunk:
            return []
        self._size += len(chunk)
        # No line ends in it: kept aside, so that a long line is joined once and not with each chunk.
        if b"\n" not in chunk and b"\r" not in chunk and not self._ends_in_return():
            self._pieces.append(chunk)
            self._check_size()
            return []
        lines = (b"".join(self._pieces) + chunk).splitlines(keepends=True)
        self._pieces.clear()
        if not lines[-1].endswith(b"\n"):
            # An unfinished line, or a "\r" that may be the first half of a "\r\n".
            self._pieces.append(lines.pop())
        events: list[bytes] = []
        for line in lines:
            self._line(line.rstrip(b"\r\n"), events)
        self._check_size()
        return events

    def _check_size(self) -> None:
        if self._size > EVENT_BYTES:
            raise EventTooLong(f"an event of the stream is longer than {EVENT_BYTES} bytes")

    def _ends_in_return(self) -> bool:
        return bool(self._pieces) and self._pieces[-1].endswith(b"\r")

    def _line(self, line: bytes, events: list[bytes]) -> None:
        if not line:
            if self._data:
                events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data.clear()
            self._size = 0
        elif line.startswith(b"data:"):
            self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
