"""Programs and libraries of a layer: for which processor they are, which glibc they need, and what of them
nobody needs.

A wheel's name says what its maker meant; the files say what the loader will find. They are read here as
the loader reads them, by their segments.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from infinity.errors import ConfigError

from .python import PythonVersion

__all__ = ["Binary", "Examined", "Stripped", "examine", "read_binary", "strip_all"]

_MACHINES = {62: "x86_64", 183: "aarch64", 3: "i386", 40: "arm", 243: "riscv64", 21: "ppc64le", 22: "s390x"}
_OTHERS = {
    b"MZ": "Windows",
    b"\xcf\xfa\xed\xfe": "macOS",
    b"\xca\xfe\xba\xbe": "macOS",
}
_LOAD, _DYNAMIC = 1, 2
_NEEDED, _STRTAB, _VERNEED, _VERNEEDNUM = 1, 5, 0x6FFFFFFE, 0x6FFFFFFF
_LIBRARIES = (".so", ".dylib", ".pyd", ".dll")
_RELATIVE = (2, 36)
"""The first glibc that knows packed relative relocations, which are asked for by a name without a number."""
_SEGMENT = struct.Struct("<IIQQQQQQ")
_PAIR = struct.Struct("<qQ")


@dataclass(frozen=True, slots=True)
class Binary:
    """``glibc``: the highest version that it asks for, ``None`` if it asks for none; ``needs``: libraries by
    name; ``sound``: its segments can be mapped.
    """

    machine: str
    glibc: tuple[int, int] | None
    needs: tuple[str, ...]
    sound: bool = True


class Stripped(NamedTuple):
    """``tool``: what was used; empty: there is none. ``kept``: libraries that it could not make smaller."""

    tool: str
    saved: int
    kept: int


class Examined(NamedTuple):
    """``binaries``: how many there are that Lambda can run, and ``glibc`` the highest version that one of
    them needs; ``ignored``: what it could not run and never loads, each with why.
    """

    binaries: int
    glibc: tuple[int, int]
    ignored: tuple[str, ...]


class _Seen(NamedTuple):
    name: Path
    found: Binary | None
    wrong: tuple[str, ...]


def read_binary(data: bytes) -> Binary | None:
    """Read an ELF file as the loader does.

    Args:
        data: The whole file.

    Returns:
        ``None`` if this is not an ELF file.

    Raises:
        ValueError: if it is a damaged one.
    """
    if not data.startswith(b"\x7fELF"):
        return None
    try:
        return _read(data)
    except (struct.error, IndexError) as error:
        raise ValueError(f"its headers are damaged: {error}") from error


def examine(root: Path, architecture: str, python: PythonVersion) -> Examined:
    """Find out whether Lambda can run every binary that Python would load there.

    Args:
        root: The folder ``python`` of a layer.
        architecture: As wheels name it.
        python: Of the function.

    Returns:
        What there is; binaries that could not run and are never loaded are listed with the reasons.

    Raises:
        ConfigError: names each binary that would be loaded, directly or by another one, and could not run.
    """
    seen: list[_Seen] = []
    for file, data in _files(root):
        name = file.relative_to(root)
        try:
            found = read_binary(data)
        except ValueError as error:
            seen.append(_Seen(name, None, (f"{name}: {error}",)))
            continue
        if found is None:
            other = next(
                (system for magic, system in _OTHERS.items() if data.startswith(magic)),
                "no system that is known",
            )
            seen.append(_Seen(name, None, (f"{name} is for {other}",)))
            continue
        seen.append(
            _Seen(name, found, tuple(f"{name} {reason}" for reason in _reasons(found, architecture, python)))
        )
    loaded = _loaded(seen, architecture, python)
    wrong = [reason for each in seen if each.name in loaded for reason in each.wrong]
    if wrong:
        more = f" (and {len(wrong) - 5} more)" if len(wrong) > 5 else ""
        raise ConfigError(
            f"Lambda's Python {python} on {architecture} cannot run what is in the layer: {'; '.join(wrong[:5])}{more}; "
            "name a version of the package whose wheel is for it, with --requirements; of Infinity, 'make wheel' in a checkout builds one"
        )
    fine = [each.found for each in seen if each.found is not None and not each.wrong]
    return Examined(
        len(fine),
        max((each.glibc or (0, 0) for each in fine), default=(0, 0)),
        tuple(reason for each in seen for reason in each.wrong),
    )


def _loaded(seen: Sequence[_Seen], architecture: str, python: PythonVersion) -> set[Path]:
    """What Python would import, and the libraries that it needs, by their names, as the loader looks for
    them.
    """
    suffixes = (f".cpython-{python.major}{python.minor}-{architecture}-linux-gnu.so", ".abi3.so", ".so")
    modules = {each.name: _module(each.name, suffixes) for each in seen}
    there = set(modules.values())
    # A module of this version for another kind of Linux, and for this one there is none: a wheel that says
    # what it is not.
    tagged = re.compile(rf"(?P<stem>\w+)\.cpython-{python.major}{python.minor}-[\w-]*linux[\w-]*\.so")
    for each in seen:
        found = tagged.fullmatch(each.name.name)
        if modules[each.name] is None and found:
            module = _module(each.name.with_name(f"{found['stem']}.so"), suffixes)
            modules[each.name] = None if module in there else module
    ahead = [each for each in seen if modules[each.name] is not None]
    loaded: set[Path] = set()
    # Libraries that a loaded one needs are loaded as well, whatever their own names say.
    while ahead:
        each = ahead.pop()
        if each.name not in loaded:
            loaded.add(each.name)
            needs = each.found.needs if each.found is not None else ()
            ahead += [other for other in seen if other.name.name in needs]
    return loaded


def _module(name: Path, suffixes: Sequence[str]) -> tuple[str, ...] | None:
    """By which name Python would import it; ``None``: by none."""
    suffix = next((each for each in suffixes if name.name.endswith(each)), None)
    if suffix is None:
        return None
    parts = (*name.parts[:-1], name.name.removesuffix(suffix))
    if "site-packages" in parts:
        parts = parts[parts.index("site-packages") + 1 :]
    return parts if all(part.isidentifier() for part in parts) else None


def strip_all(root: Path, architecture: str) -> Stripped:
    """Take debug symbols out of every binary; nobody reads them there.

    A binary that would not be the same for the loader afterwards is left as it was.

    Args:
        root: The folder.
        architecture: As wheels name it; others are left alone.
    """
    tools = [tool for tool in _tools(architecture) if shutil.which(tool)]
    used, saved, kept = "", 0, 0
    for file, before in list(_files(root)):
        try:
            found = read_binary(before)
        except ValueError:
            continue
        if found is None or found.machine != architecture:
            continue
        for tool in tools:
            if _strip(tool, file, before):
                used = tool
                saved += len(before) - file.stat().st_size
                break
        else:
            kept += bool(tools)
    return Stripped(used or (tools[0] if tools else ""), saved, kept)


def _strip(tool: str, file: Path, before: bytes) -> bool:
    draft = file.with_name(f".{file.name}.stripped")
    try:
        # --strip-debug alone: what others link to stays.
        command = [tool, "--strip-debug", "-o", str(draft), str(file)]
        ran = subprocess.run(command, capture_output=True, check=False)  # noqa: S603
        if ran.returncode or not draft.exists():
            return False
        after = draft.read_bytes()
        try:
            # What auditwheel has patched is not always understood by every strip.
            same = read_binary(after) == read_binary(before)
        except ValueError:
            return False
        if same and len(after) < len(before):
            file.write_bytes(after)
        return same
    finally:
        draft.unlink(missing_ok=True)


def _tools(architecture: str) -> Sequence[str]:
    own = "strip" if os.uname().machine in (architecture, {"aarch64": "arm64"}.get(architecture)) else ""
    return [tool for tool in (own, f"{architecture}-linux-gnu-strip", "llvm-strip") if tool]


def _reasons(found: Binary, architecture: str, python: PythonVersion) -> Iterator[str]:
    if found.machine != architecture:
        yield f"is for {found.machine}"
    elif any("musl" in name for name in found.needs):
        yield "is for Alpine Linux (musl), and Lambda has glibc"
    elif found.glibc is not None and found.glibc > python.glibc:
        yield f"needs glibc {_dotted(found.glibc)}, and there it is {_dotted(python.glibc)}"
    elif not found.sound:
        yield "has segments that cannot be mapped"


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _files(root: Path) -> Iterator[tuple[Path, bytes]]:
    """Everything that is a binary by its content, and what is named like one."""
    for file in sorted(root.rglob("*")):
        if not file.is_file():
            continue
        with file.open("rb") as opened:
            is_elf = opened.read(4) == b"\x7fELF"
        if is_elf or file.suffix in _LIBRARIES or ".so." in file.name:
            yield file, file.read_bytes()


# -- as the loader reads it


def _read(data: bytes) -> Binary:
    # Byte 5 says how numbers are written, byte 4 whether addresses have 64 bits; the processor is at 18.
    (number,) = struct.unpack_from("<H" if data[5] == 1 else ">H", data, 18)
    machine = _MACHINES.get(number, f"processor {number}")
    if data[4] != 2 or data[5] != 1:
        return Binary(machine, None, ())
    (start,), (size, count) = struct.unpack_from("<Q", data, 32), struct.unpack_from("<HH", data, 54)
    segments = [_SEGMENT.unpack_from(data, start + size * each) for each in range(count)]
    loaded = [
        (place, address, length, align)
        for kind, _, place, address, _, length, _, align in segments
        if kind == _LOAD
    ]
    sound = all(
        place + length <= len(data) and (align < 2 or (place - address) % align == 0)
        for place, address, length, align in loaded
    )

    def at(address: int) -> int:
        for place, begins, length, _ in loaded:
            if begins <= address < begins + length:
                return int(address - begins + place)
        raise IndexError(f"address {address:#x} is in no segment")

    entries: list[tuple[int, int]] = []
    for kind, _, place, _, _, length, _, _ in segments:
        if kind == _DYNAMIC:
            entries = [_PAIR.unpack_from(data, place + 16 * each) for each in range(length // 16)]
    values = dict(entries)
    if _STRTAB not in values:
        return Binary(machine, None, (), sound)
    texts = at(values[_STRTAB])

    def text(offset: int) -> str:
        return data[texts + offset : data.index(b"\0", texts + offset)].decode(errors="replace")

    needs = tuple(text(value) for tag, value in entries if tag == _NEEDED)
    return Binary(machine, _glibc(data, values, at, text), needs, sound)


def _glibc(
    data: bytes, values: dict[int, int], at: Callable[[int], int], text: Callable[[int], str]
) -> tuple[int, int] | None:
    """Of the versions that it asks its libraries for: ``GLIBC_2.17`` and the like."""
    found: list[tuple[int, int]] = []
    if _VERNEED not in values:
        return None
    place = at(values[_VERNEED])
    for _ in range(values.get(_VERNEEDNUM, 0)):
        _, count, _, first, following = struct.unpack_from("<HHIII", data, place)
        asked = place + first
        for _ in range(count):
            _, _, _, name, after = struct.unpack_from("<IHHII", data, asked)
            if text(name) == "GLIBC_ABI_DT_RELR":
                found.append(_RELATIVE)
            version = re.fullmatch(r"GLIBC_(\d+)\.(\d+)(\.\d+)?", text(name))
            if version:
                found.append((int(version[1]), int(version[2])))
            asked += after
        # The versions are two nested lists, each element with the distance to the next one.
        place += following
    return max(found, default=None)
