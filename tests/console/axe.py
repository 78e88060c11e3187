"""axe-core from its tarball of the npm registry, pinned by its digest; kept in ``target/vendor``."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

VERSION = "4.14.1"
SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
TARBALL = Path(__file__).parents[2] / "target" / "vendor" / f"axe-core-{VERSION}.tgz"


@cache
def source() -> str:
    """The script. The test is skipped, with a word, where it cannot be had."""
    if not TARBALL.exists():
        if shutil.which("npm") is None:
            pytest.skip("axe-core comes from the npm registry, and npm was not found")
        TARBALL.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["npm", "pack", "--silent", f"axe-core@{VERSION}"],
            cwd=TARBALL.parent,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    body = TARBALL.read_bytes()
    assert base64.b64encode(hashlib.sha512(body).digest()).decode() == SHA512, (
        f"{TARBALL} is not the pinned one"
    )
    with tarfile.open(TARBALL) as archive:
        found = archive.extractfile("package/axe.min.js")
        assert found is not None
        return found.read().decode()


async def violations(page: Page) -> list[str]:
    """What axe finds, one line each. The page must have been opened past the policy, which lets no other script in."""
    await page.evaluate(source())
    found: dict[str, Any] = await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found["violations"]
        for node in each["nodes"]
    ]
