"""Files of the journal that are damaged at random: a start finds everything that was accepted, or says what is wrong; never less (I8, L16, L21).

By default a hundred files; ``INFINITY_SWEEP=full``: a thousand, with a table of what became of them. ``INFINITY_SEED``: others.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infinity._core import CoreError, Journal, Message, Thread, Wake
from infinity.readable import readable

FULL = os.environ.get("INFINITY_SWEEP") == "full"
FILES = 1000 if FULL else 100
SEED = int(os.environ.get("INFINITY_SEED", "21"))
THREADS = [f"t{number}" for number in range(5)]
NAMES = ("infinity.db", "infinity.db-wal", "infinity.db-shm", "infinity.db.mark")
SAID = ("damaged", "too_new")
GOOD = ("whole", "refused", "said when it is read")

Files = dict[str, bytes]
Picture = list[Any]


class Opened:
    def __init__(self, path: Path) -> None:
        self._wake = Wake()
        self.journal = Journal.open(str(path), self._wake)

    def ask(self, ticket: int) -> Any:
        while True:
            for number, value, error in self.journal.finished():
                if number == ticket:
                    if error is not None:
                        raise error
                    return value
            assert readable(self._wake.fileno(), 30), "the journal does not answer"
            self._wake.drain()

    def fill(self, first: int, last: int) -> None:
        """A message each; every other one is consumed into the history of its thread."""
        for number in range(first, last):
            thread = Thread.load(self.ask(self.journal.load(THREADS[number % len(THREADS)])))
            message = Message(thread.id, f"m{number}", "user", b'{"text":"%d"}' % number, accepted_at=1)
            _, accepted = self.ask(self.journal.accept(message))
            if number % 2:
                thread.consume(accepted)
                thread.add_user(b'[{"type":"text","text":"%s"}]' % (b"number %d " % number * 30), now=2)
                self.ask(self.journal.commit(thread.delta(2)))

    def picture(self) -> Picture:
        """Everything that was accepted, wherever it is now."""
        queued = [
            (message.thread, message.id, message.kind, message.body, message.accepted_at)
            for message in self.ask(self.journal.inbox())
        ]
        histories = [Thread.load(self.ask(self.journal.load(thread))).render() for thread in THREADS]
        return [queued, *histories]


def _read(home: Path) -> Files:
    return {name: (home / name).read_bytes() for name in NAMES if (home / name).exists()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Picture, dict[str, Files]]:
    """What was accepted, and the files: after a kill, after a power cut, and after a stop."""
    home = tmp_path_factory.mktemp("made")
    opened = Opened(home / "infinity.db")
    for id in THREADS:
        opened.ask(opened.journal.commit(Thread.create(id, now=1, model="test").delta(1)))
    opened.fill(0, 60)
    opened.journal.close()
    opened = Opened(home / "infinity.db")
    opened.fill(60, 120)
    picture = opened.picture()
    killed = _read(home)
    opened.journal.close()
    stopped = _read(home)
    cut = {name: data for name, data in killed.items() if not name.endswith("-shm")}
    return picture, {"kill": killed, "power cut": cut, "stop": stopped}


def _flip(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 3))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _zero(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data)) // 512 * 512
    data[at : at + 512] = bytes(len(data[at : at + 512]))


def _garble(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data)) // 4096 * 4096
    data[at : at + 4096] = chance.randbytes(len(data[at : at + 4096]))


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


DAMAGES: dict[str, Callable[[bytearray, random.Random], None]] = {
    "flipped bits": _flip,
    "a zeroed sector": _zero,
    "a page of noise": _garble,
    "cut off": _cut,
}


def _used(log: bytes, stop: str) -> int:
    """The part of a log that is in use; of one that a power cut left, without its last transaction, of which anything may be left."""
    salts, ends, at = log[16:24], [32], 32
    while log[at + 8 : at + 16] == salts:
        if log[at + 4 : at + 8] != bytes(4):
            ends.append(at + 4120)
        at += 4120
    return ends[-2 if stop == "power cut" else -1]


def _cases(files: dict[str, Files]) -> Iterator[tuple[str, str, str, Files]]:
    chance = random.Random(SEED)
    places = [(stop, name) for stop, found in files.items() for name in NAMES[:2] if name in found]
    for number in range(FILES):
        stop, name = places[number % len(places)]
        damage = list(DAMAGES)[number // len(places) % len(DAMAGES)]
        data = bytearray(files[stop][name])
        used = _used(files["kill"][name], stop) if name.endswith("-wal") else len(data)
        if damage == "cut off" and stop == "power cut" and name.endswith("-wal"):
            damage = "flipped bits"  # Nothing that was flushed goes the other way.
        part = data[:used]
        DAMAGES[damage](part, chance)
        whole = bytes(part) if damage == "cut off" else bytes(part) + bytes(data[used:])
        yield stop, name, damage, {**files[stop], name: whole}


def _outcome(home: Path, files: Files, expected: Picture) -> str:
    home.mkdir()
    for name, data in files.items():
        (home / name).write_bytes(data)
    try:
        opened = Opened(home / "infinity.db")
    except CoreError as error:
        kept = {name: data for name, data in _read(home).items() if not name.endswith("-shm")}
        shutil.rmtree(home)
        if any(kept[name] != data for name, data in files.items() if name in kept):
            return "REFUSED, AND CHANGED"
        return "refused" if error.args[0] in SAID else str(error)
    try:
        return "whole" if opened.picture() == expected else "LESS"
    except CoreError as error:
        return "said when it is read" if error.args[0] in SAID else str(error)
    finally:
        opened.journal.close()
        shutil.rmtree(home)


@pytest.mark.trap("L16")
@pytest.mark.trap("L21")
def test_damaged_files_are_whole_or_refused_and_never_less(
    made: tuple[Picture, dict[str, Files]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected, files = made
    found: Counter[tuple[str, ...]] = Counter()
    bad = []
    for number, (stop, name, damage, damaged) in enumerate(_cases(files)):
        outcome = _outcome(tmp_path / str(number), damaged, expected)
        found[stop, name, damage, outcome] += 1
        if outcome not in GOOD:
            bad.append((number, stop, name, damage, outcome))
    if FULL:
        with capsys.disabled():
            print(f"\n{sum(found.values())} damaged files, seed {SEED}")
            for row, count in sorted(found.items()):
                print("".join(f"{cell:18}" for cell in row), count)
    assert not bad
    assert {outcome for *_, outcome in found} >= {"whole", "refused"}, found
