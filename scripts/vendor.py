"""The console's foreign modules: made from the tarballs of the npm registry, and proved against them.

``vendor/VENDOR.toml`` names each tarball with its version, its digest and its licence. ``python scripts/vendor.py`` fetches the tarballs (into ``target/vendor``),
checks their digests and writes the modules; ``--check`` writes nothing and fails if a module differs from what its tarball gives. A module is changed in three
ways only: names of packages in imports become relative paths (a browser resolves no names without an import map, which must be inline, and the console's policy
forbids that), the remark about a source map goes, and a line in front names the package.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
VENDOR = ROOT / "python" / "infinity" / "console" / "vendor"
TARBALLS = ROOT / "target" / "vendor"

_IMPORT = re.compile(r'(\bfrom|\bimport)\s*"([^"./][^"]*)"')
_SOURCE_MAP = re.compile(r"\n?//# sourceMappingURL=\S+\s*\Z")


def main() -> int:
    """Write the modules, or with ``--check`` compare them. The exit status is 1 where one differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if a module is not what its tarball gives"
    )
    check = parser.parse_args().check
    packages: list[dict[str, Any]] = tomllib.loads((VENDOR / "VENDOR.toml").read_text())["package"]
    modules = {
        member["module"]: (package, member["file"]) for package in packages for member in package["modules"]
    }
    names = {member["import"]: member["module"] for package in packages for member in package["modules"]}
    differ = []
    for module, (package, file) in modules.items():
        made = _module(package, file, names)
        path = VENDOR / module
        if not check:
            path.write_text(made)
        elif not path.exists() or path.read_text() != made:
            differ.append(module)
    extra = {path.name for path in VENDOR.glob("*.js")} - set(modules)
    for module in sorted({*differ, *extra}):
        sys.stderr.write(f"vendor/{module} is not what its tarball gives; run 'python scripts/vendor.py'\n")
    return 1 if differ or extra else 0


def _module(package: dict[str, Any], file: str, names: dict[str, str]) -> str:
    with tarfile.open(fileobj=io.BytesIO(_tarball(package))) as archive:
        found = archive.extractfile(f"package/{file}")
        if found is None:
            raise SystemExit(f"{package['name']} {package['version']} has no file {file}")
        source = found.read().decode()
    source = _IMPORT.sub(
        lambda match: f'{match[1]}"./{names[match[2]]}"', _SOURCE_MAP.sub("", source).rstrip()
    )
    return f"/* {package['name']} {package['version']}, {package['licence']}; see VENDOR.toml */\n{source}\n"


def _tarball(package: dict[str, Any]) -> bytes:
    """The package's tarball, with the digest that is expected."""
    TARBALLS.mkdir(parents=True, exist_ok=True)
    path = TARBALLS / f"{package['name'].removeprefix('@').replace('/', '-')}-{package['version']}.tgz"
    if not path.exists():
        subprocess.run(  # noqa: S603 the name and version are our own file's
            ["npm", "pack", "--silent", f"{package['name']}@{package['version']}"],  # noqa: S607
            cwd=TARBALLS,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    body = path.read_bytes()
    digest = base64.b64encode(hashlib.sha512(body).digest()).decode()
    if digest != package["sha512"]:
        raise SystemExit(f"{path.name} has the digest {digest}, and VENDOR.toml names {package['sha512']}")
    return body


if __name__ == "__main__":
    sys.exit(main())
