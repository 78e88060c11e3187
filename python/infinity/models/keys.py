"""Keys that change: from a file or a command, read again when they are refused.

A key that is refused may have been replaced since it was read. Then, and only if what is read now is
another one, the same request is made once more. A request of which something was shown is never made
again here: that is the engine's to decide (M5).
"""

from __future__ import annotations

import asyncio
import builtins
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from infinity.abc.model import Model, ModelInfo, ModelRequest, Part
from infinity.errors import ConfigError, ModelAuthentication
from infinity.supervision import in_thread

__all__ = ["KeySource", "Rekeyed"]

COMMAND_SECONDS = 30.0
"""For the command that prints a key."""
_MOST_BYTES = 64 << 10


class KeySource:
    """Where a key comes from: a file, or a command. One of both."""

    def __init__(self, where: str, file: str | None, command: tuple[str, ...] | None) -> None:
        """Read nothing yet.

        Args:
            where: the section of the configuration, for errors.
            file: a path.
            command: a program and its arguments, whose output is the key.
        """
        self._where = where
        self._file = file
        self._command = command

    @property
    def is_file(self) -> bool:
        """Whether reading it is cheap enough for the event loop."""
        return self._file is not None

    def read(self) -> str:
        """The key as it is now. A command blocks: call it in a thread.

        Raises:
            ConfigError: says why there is none, never what was read (S9).
        """
        if self._file is not None:
            path = Path(self._file).expanduser()
            try:
                key = path.read_bytes()[:_MOST_BYTES].decode()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(
                    f"{self._where} api_key_file: {path} cannot be read: {_why(error)}"
                ) from None
        else:
            key = self._output()
        if not key.strip():
            name = "api_key_file" if self._file is not None else "api_key_command"
            raise ConfigError(f"{self._where} {name}: there is no key in it")
        return key.strip()

    def _output(self) -> str:
        command = self._command or ()
        if not command:
            raise ConfigError(f"{self._where} api_key_command: is empty")
        try:
            # With arguments and without a shell: what is in them is never run.
            done = subprocess.run(  # noqa: S603  what the user configured
                command, capture_output=True, timeout=COMMAND_SECONDS, check=True, stdin=subprocess.DEVNULL
            )
        except subprocess.CalledProcessError as error:
            raise ConfigError(
                f"{self._where} api_key_command: {command[0]} ended with {error.returncode}"
            ) from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ConfigError(
                f"{self._where} api_key_command: {command[0]} cannot be run: {_why(error)}"
            ) from None
        return done.stdout[:_MOST_BYTES].decode("utf-8", "replace")


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__


class Rekeyed:
    """A provider whose key may change; otherwise it is the provider that it wraps."""

    def __init__(self, source: KeySource, make: Callable[[str | None], Model]) -> None:
        """A file is read at once, so that a wrong path is told at the start; a command runs beside the
        event loop, with the first request.

        Args:
            source: where the key comes from.
            make: the provider with a key; without one it can say what it is, and ask nothing.

        Raises:
            ConfigError: the file cannot be read.
        """
        self._source = source
        self._make = make
        self._key = source.read() if source.is_file else None
        self._model = make(self._key)
        self._replaced: builtins.list[Model] = []
        """They may still be streaming."""
        self._lessons: Any = None
        self._reading = asyncio.Lock()

    def __getattr__(self, name: str) -> Any:
        """What a provider may have besides: ``info``, ``told``, ``takes``, …"""
        return getattr(self._model, name)

    def taught_by(self, lessons: Any) -> None:
        """Pass on where lessons are kept, now and after a change of the key.

        Args:
            lessons: of all endpoints.
        """
        self._lessons = lessons
        if (taught_by := getattr(self._model, "taught_by", None)) is not None:
            taught_by(lessons)

    async def stream(self, request: ModelRequest) -> AsyncIterator[Part]:
        if self._key is None:
            await self._first_key()
        model, shown = self._model, False
        try:
            async for part in model.stream(request):
                shown = True
                yield part
            return
        except ModelAuthentication:
            # What was shown cannot be taken back here; the engine retracts it (M5).
            if shown or not await self._renewed(model):
                raise
        async for part in self._model.stream(request):
            yield part

    async def list(self) -> builtins.list[ModelInfo]:
        if self._key is None:
            await self._first_key()
        model = self._model
        try:
            return await model.list()
        except ModelAuthentication:
            if not await self._renewed(model):
                raise
        return await self._model.list()

    async def close(self) -> None:
        for model in (*self._replaced, self._model):
            await model.close()

    async def _renewed(self, refused: Model) -> bool:
        """Whether there is another key now than the one that was refused."""
        async with self._reading:
            if self._model is not refused:
                return True  # another request has found it meanwhile
            try:
                key = await in_thread(self._source.read)
            except ConfigError:
                return False  # the refusal says more than this
            # The same key again: the refusal is meant.
            if key == self._key:
                return False
            self._use(key)
            return True

    async def _first_key(self) -> None:
        async with self._reading:
            if self._key is None:
                self._use(await in_thread(self._source.read))

    def _use(self, key: str) -> None:
        # Closed at the end only: other threads' answers may still be streaming through it.
        self._replaced.append(self._model)
        self._key, self._model = key, self._make(key)
        if self._lessons is not None:
            self.taught_by(self._lessons)
