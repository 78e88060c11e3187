"""One layer: the wheel that runs elsewhere, and what the cloud host imports, packed for AWS Lambda.

``infinity layer build`` calls ``build``, the CDK constructs read the manifest. The zip appears only when it
is whole and small enough for a function; nothing is compiled from source for another machine here.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from infinity.errors import ConfigError

from .archive import compile_all, pack, prune, unpack_wheel
from .binaries import Stripped, examine, strip_all
from .dependencies import Wanted, bring
from .python import PythonVersion
from .wheel import Wheel, read_wheel

__all__ = ["DIRECT_UPLOAD", "UNPACKED", "Layer", "Manifest", "Order", "build", "read_manifest"]

DIRECT_UPLOAD = 50 * 2**20
"""Bytes of a zip that Lambda takes in a request; a bigger one goes through S3."""
UNPACKED = 250 * 2**20
"""Bytes that a function and its layers may have together."""
MANIFEST = "infinity-layer.json"
"""At the root of the zip, beside ``python/``: Lambda unpacks it to ``/opt`` and does not import it."""


@dataclass(frozen=True, slots=True)
class Order:
    """``interpreter``: a Python of version ``python`` for the bytecode; without one there is none."""

    wheel: Path
    python: PythonVersion
    interpreter: Path | None
    wanted: Wanted = field(default_factory=Wanted)
    into: Path = Path("dist")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is in a layer. ``architecture`` as wheels name it; ``packages``: distributions and their versions."""

    infinity: str
    wheel: str
    wheel_sha256: str
    python: str
    architecture: str
    packages: Mapping[str, str]
    bytecode: bool


@dataclass(frozen=True, slots=True)
class Layer:
    """``zipped`` and ``unpacked`` are bytes; ``largest`` the top folders of ``python/`` with their bytes, the
    biggest first; ``stripped``: what was done about debug symbols; ``binaries``: how many there are, and
    ``glibc`` the highest version that one of them needs; ``ignored``: what Lambda could not run, and never
    loads.
    """

    path: Path
    zipped: int
    unpacked: int
    largest: tuple[tuple[str, int], ...]
    manifest: Manifest
    stripped: Stripped
    binaries: int
    glibc: tuple[int, int]
    ignored: tuple[str, ...]


def build(order: Order) -> Layer:
    """Build one layer.

    Args:
        order: Wheel, version, dependencies and where the zip goes.

    Raises:
        ConfigError: if the wheel is not for Lambda, a dependency has no wheel, a binary could not run
            there, or the result is too big for any function.
    """
    wheel = read_wheel(order.wheel, order.python)
    with tempfile.TemporaryDirectory(prefix="infinity-layer-") as scratch:
        root = Path(scratch, "opt")
        python = root / "python"
        python.mkdir(parents=True)
        bring(wheel, order.python, order.wanted, python, Path(scratch))
        prune(python)
        # Before anything is stripped: a strip of this machine may not read a binary of another processor.
        examine(python, wheel.architecture, order.python)
        stripped = strip_all(python, wheel.architecture)
        # Last and whole: what runs here is what runs there, file for file.
        unpack_wheel(wheel.path, python)
        examined = examine(python, wheel.architecture, order.python)
        if order.interpreter:
            compile_all(root, order.interpreter)
        manifest = _manifest(wheel, order, python)
        (root / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2, sort_keys=True) + "\n")
        order.into.mkdir(parents=True, exist_ok=True)
        file = order.into / f"infinity-layer-{wheel.version}-{order.python.tag}-{wheel.architecture}.zip"
        zipped, unpacked = pack(root, file)
        largest = _largest(python)
    # Found out when it is packed; a zip that no function can use must not lie around.
    if unpacked > UNPACKED:
        file.unlink()
        most = ", ".join(f"{name} {size / 2**20:.0f} MiB" for name, size in largest[:5])
        raise ConfigError(
            f"the layer has {unpacked / 2**20:.0f} MiB unpacked, and Lambda takes {UNPACKED // 2**20} MiB for a function and its layers together; the largest: {most}"
        )
    return Layer(file, zipped, unpacked, largest, manifest, stripped, *examined)


def read_manifest(layer: Path) -> Manifest:
    """Read the manifest of a zip that ``build`` made.

    Raises:
        ConfigError: if it is no such zip, or cannot be read.
    """
    try:
        with zipfile.ZipFile(layer) as archive:
            return Manifest(**json.loads(archive.read(MANIFEST)))
    except OSError as error:
        raise ConfigError(
            f"{layer} cannot be read: {error.strerror}; make one: infinity layer build"
        ) from error
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise ConfigError(f"{layer} is not a layer of Infinity; make one: infinity layer build") from error


def _manifest(wheel: Wheel, order: Order, python: Path) -> Manifest:
    packages = {}
    for folder in sorted(python.glob("*.dist-info")):
        name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
        packages[name] = version
    return Manifest(
        infinity=wheel.version,
        wheel=wheel.path.name,
        wheel_sha256=wheel.sha256,
        python=str(order.python),
        architecture=wheel.architecture,
        packages=packages,
        bytecode=order.interpreter is not None,
    )


def _largest(python: Path) -> tuple[tuple[str, int], ...]:
    sizes = {
        place.name: sum(file.stat().st_size for file in [place, *place.rglob("*")] if file.is_file())
        for place in python.iterdir()
    }
    return tuple(sorted(sizes.items(), key=lambda item: (-item[1], item[0])))
