"""``python -m infinity.cli``: the same as ``infinity``."""

from __future__ import annotations

from .main import main

main()
