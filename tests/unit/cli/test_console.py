"""``infinity console``: the address that it prints or opens, and how it ends sessions."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from tests.unit.cli.conftest import Run, prepared, process


def signed_in(address: str) -> tuple[httpx.Client, str]:
    """What a page at the address does first: its cookies, and its key."""
    parts = urlsplit(address)
    page = httpx.Client(
        base_url=f"{parts.scheme}://{parts.netloc}", headers={"Sec-Fetch-Site": "same-origin"}
    )
    answer = page.post("/v1/console/session", json={"code": parts.fragment.removeprefix("code=")})
    assert answer.status_code == 200, answer.text
    page.headers["Infinity-Console"] = answer.json()["key"]
    return page, parts.path


def test_the_address_is_printed_and_signs_in(run: Run) -> None:
    made = run("console", "--no-browser")
    assert made.exit_code == 0 and made.stdout.count("\n") == 1
    page, path = signed_in(made.stdout.strip())
    assert path == "/" and page.get("/v1/threads").status_code == 200
    of_a_thread = run("console", "--no-browser", "--thread", "thread_1")
    page, path = signed_in(of_a_thread.stdout.strip())
    assert path == "/t/thread_1" and page.get("/v1/threads").status_code == 200


def test_a_browser_is_opened_where_there_is_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: not opened.append(url))
    monkeypatch.setenv("BROWSER", "any")
    made = run("console")
    assert made.exit_code == 0 and "#code=" not in made.output, "the code is for the browser alone"
    page, _ = signed_in(opened.pop())
    assert page.get("/v1/threads").status_code == 200
    monkeypatch.setattr("webbrowser.open", lambda url: False)
    assert "/#code=" in run("console").stdout


def test_without_a_display_the_address_is_printed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("webbrowser.open", lambda url: pytest.fail("a browser in the terminal"))
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22")
    made = run("console")
    place = urlsplit(made.stdout.strip()).netloc
    assert f"ssh -L {place.rpartition(':')[2]}:{place} HOST" in made.stderr


def test_signing_out_ends_every_session(run: Run) -> None:
    pages = [signed_in(run("console", "--no-browser").stdout.strip())[0] for _ in range(2)]
    assert run("console", "--sign-out").exit_code == 0
    assert [page.get("/v1/threads").status_code for page in pages] == [401, 401]
    assert run("console", "--sign-out", "--no-browser").exit_code == 2


def test_it_starts_the_daemon_and_says_where_the_console_is_not_enabled(tmp_path: Path) -> None:
    home = prepared(tmp_path / "home", "[console]\nenabled = false\n")
    made = process(home, "console")
    try:
        assert "started the daemon in the background" in made.stderr
        assert made.returncode == 5 and "[console] enabled is false" in made.stderr
    finally:
        process(home, "daemon", "stop")
