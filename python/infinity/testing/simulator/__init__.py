"""The whole runtime under one virtual clock and one seed, with every kind of fault in every order; what must hold is checked from outside.

``simulate(range(100))`` runs a hundred random scripts and raises the shortest script that fails; ``run(script)`` repeats it.
"""

from __future__ import annotations

from .runs import Failure, Report, run, shorten, simulate
from .steps import Script, Step, script_of

__all__ = ["Failure", "Report", "Script", "Step", "run", "script_of", "shorten", "simulate"]
