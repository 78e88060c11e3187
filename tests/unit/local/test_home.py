from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from infinity.errors import ConfigError, StoreError, StoreLocked
from infinity.local import home as home_module
from infinity.local.home import Home


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_home_is_closed_to_others_from_the_start(home: Home) -> None:
    home.prepare()
    assert mode(home.path) == 0o700


def test_the_home_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFINITY_HOME", str(tmp_path / "elsewhere"))
    assert Home().path == tmp_path / "elsewhere"
    assert Home(tmp_path / "chosen").path == tmp_path / "chosen"
    monkeypatch.delenv("INFINITY_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Home().path == tmp_path / ".infinity"


def test_an_open_home_of_ours_is_closed(home: Home) -> None:
    home.path.mkdir(mode=0o755)
    home.prepare()
    assert mode(home.path) == 0o700


def test_an_open_directory_with_other_things_in_it_is_refused(home: Home) -> None:
    home.path.mkdir(mode=0o755)
    (home.path / "photos").mkdir()
    with pytest.raises(ConfigError, match="chmod 700"):
        home.prepare()
    assert mode(home.path) == 0o755


def test_a_home_that_is_a_file_is_refused(home: Home) -> None:
    home.path.write_text("")
    with pytest.raises(ConfigError, match="not a directory"):
        home.prepare()


def test_a_read_only_home_is_refused_with_what_to_do(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.path.mkdir(mode=0o500)
    if os.geteuid() == 0:  # root may write anywhere, so the question must be answered for it
        monkeypatch.setattr(home_module.os, "access", lambda *_: False)
    with pytest.raises(ConfigError, match=r"read-only.*chmod u\+rwx"):
        home.prepare()


def test_the_token_is_made_once_and_never_readable_by_others(home: Home) -> None:
    home.prepare()
    previous = os.umask(0)
    try:
        tokens: list[str] = []
        starts = [threading.Thread(target=lambda: tokens.append(home.make_token())) for _ in range(16)]
        for start in starts:
            start.start()
        for start in starts:
            start.join()
    finally:
        os.umask(previous)
    assert len(set(tokens)) == 1 and len(tokens) == 16 and len(tokens[0]) >= 40
    assert mode(home.path / "token") == 0o600
    assert {path.name for path in home.path.iterdir()} == {"token"}


def test_a_damaged_token_is_not_taken_for_a_token(home: Home) -> None:
    home.prepare()
    (home.path / "token").write_text("\n")
    with pytest.raises(ConfigError, match="delete it"):
        home.make_token()


@pytest.mark.trap("B7")
def test_a_second_daemon_is_told_who_holds_the_home(home: Home) -> None:
    home.prepare()
    lock = home.lock()
    lock.announce("http://127.0.0.1:7345", "1.0")
    with pytest.raises(
        StoreLocked, match=rf"pid {os.getpid()} at http://127.0.0.1:7345, since 2.*infinity daemon stop"
    ):
        Home(home.path).lock()
    holder = home.holder()
    assert holder is not None and (holder.pid, holder.address) == (os.getpid(), "http://127.0.0.1:7345")
    lock.release()
    assert home.holder() is None
    home.lock().release()


@pytest.mark.trap("L15")
def test_a_daemon_that_was_killed_does_not_hold_its_home(home: Home) -> None:
    home.prepare()
    code = (
        "import os, sys; from infinity.local.home import Home; "
        "Home(sys.argv[1]).lock().announce('http://127.0.0.1:1', '1'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(home.path)], check=False)
    assert (home.path / "daemon.json").exists()
    assert home.holder() is None
    home.lock().release()


def test_a_home_without_a_daemon_has_no_holder(home: Home) -> None:
    assert home.holder() is None
    home.prepare()
    assert home.holder() is None


def test_a_full_disk_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.prepare()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(home_module, "_write_new", full)
    with pytest.raises(StoreError, match="no space left"):
        home.make_token()


def test_permissions_that_let_others_in_are_reported(home: Home) -> None:
    home.prepare()
    home.make_token()
    assert home.problems() == []
    (home.path / "token").chmod(0o644)
    home.path.chmod(0o755)
    assert [text.rpartition("run: ")[2] for text in home.problems()] == [
        f"chmod 700 {home.path}",
        f"chmod 600 {home.path / 'token'}",
    ]
