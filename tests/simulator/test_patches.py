"""The reverts and the mutants fit the code: one that does not says nothing, and is to be made anew."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from tests.mutations.run import PATCHES as MUTANTS
from tests.simulator.changes import ROOT
from tests.simulator.find_reverts import PATCHES as REVERTS


@pytest.mark.skipif(shutil.which("patch") is None, reason="there is no 'patch' here, which applies them")
def test_every_revert_and_every_mutant_applies() -> None:
    assert REVERTS and MUTANTS
    command = ["patch", "--dry-run", "--silent", "--forward", "-p1", "--directory", str(ROOT), "--input"]
    stale = [
        patch.name
        for patch in (*REVERTS, *MUTANTS)
        if subprocess.run([*command, str(patch)], capture_output=True, check=False).returncode
    ]
    assert stale == []
