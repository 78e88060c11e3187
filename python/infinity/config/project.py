"""A project's own ``infinity.toml``, as it was read once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ProjectFile"]


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """A project's file as it was read once: what was hashed is what is used."""

    path: Path
    data: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes, in hex. Trust is given to this and not to the path (S5)."""
        return hashlib.sha256(self.data).hexdigest()
