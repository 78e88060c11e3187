"""Signing in to the console: codes that are good once, sessions that outlive restarts and nothing else, and what ends them."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from tests.boundary.console.browser import browser, new_code, signed_in
from tests.boundary.daemons import Running, running
from tests.patience import PATIENCE

from infinity.local.clock import now
from infinity.local.console.codes import CODE_SECONDS, TRIES

DAY = 86_400_000
THREADS = "/v1/threads"


class Time:
    """Of the console alone; begins with the machine's."""

    def __init__(self) -> None:
        self.ms = now()

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def timed(tmp_path: Path, time: Time) -> AsyncIterator[Running]:
    async with running(tmp_path / "home", now=time) as made:
        yield made


async def test_a_code_signs_a_page_in(daemon: Running) -> None:
    made = await daemon.post("/v1/console/codes")
    assert made.status == 201 and set(made.body) == {"code", "url", "expires_at"}
    assert made.body["url"] == f"{daemon.url}/#code={made.body['code']}"
    async with browser(daemon) as page:
        assert (await page.ask("GET", THREADS)).code == "unauthorized"
        signed = await page.sign_in(made.body["code"])
        assert (signed.status, signed.body["user"]) == (200, getpass.getuser())
        assert (await page.ask("GET", THREADS)).status == 200
        assert (await page.ask("POST", THREADS, json={})).status == 201
        assert signed.body["key"] not in page.cookie


async def test_the_cookie_is_for_requests_of_the_api_and_for_no_script(daemon: Running) -> None:
    async with browser(daemon) as page:
        [cookie] = (await page.sign_in()).headers.getall("Set-Cookie")
    name, *attributes = [part.strip() for part in cookie.split(";")]
    assert name.startswith(f"infinity_{daemon.port}=")
    assert set(attributes) == {"Path=/v1", "HttpOnly", "SameSite=Strict", "Max-Age=604800"}


async def test_neither_code_nor_key_nor_cookie_is_kept_or_logged(
    daemon: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    code = await new_code(daemon)
    async with browser(daemon) as page:
        await page.sign_in(code)
        await page.ask("DELETE", "/v1/console/session")
        await page.sign_in(code)
        secrets = [code, page.key]
        async with signed_in(daemon) as other:
            secrets += [other.key, other.cookie.partition("=")[2].rpartition(".")[2]]
    await daemon.stop()
    kept = b"".join(path.read_bytes() for path in daemon.home.path.iterdir() if path.is_file())
    assert not any(secret.encode() in kept or secret in caplog.text for secret in secrets)
    await daemon.start()


async def test_what_is_no_code_is_refused(daemon: Running) -> None:
    bodies = [b"", b"{", b"[]", b"{}", b'{"code":1}', b'{"code":null}', b'{"code":"x","more":1}']
    long = b'{"code":"' + b"x" * 5000 + b'"}'
    async with browser(daemon) as page:
        headers = {"Content-Type": "application/json"}
        for body in (*bodies, long):
            answer = await page.ask("POST", "/v1/console/session", data=body, headers=headers)
            assert answer.status == (413 if body is long else 400), body
        surrogate = b'{"code":"\\ud800"}'
        answer = await page.ask("POST", "/v1/console/session", data=surrogate, headers=headers)
        assert answer.status == 401
        plain = {"Content-Type": "text/plain"}
        answer = await page.ask("POST", "/v1/console/session", data=b'{"code":"x"}', headers=plain)
        assert answer.status == 415


async def test_a_code_expires(timed: Running, time: Time) -> None:
    async with browser(timed) as page:
        code = await new_code(timed)
        time.ms += CODE_SECONDS * 1000 - 1
        assert (await page.sign_in(code)).status == 200
        code = await new_code(timed)
        time.ms += CODE_SECONDS * 1000
        assert (await page.sign_in(code)).code == "code"
        assert (await page.sign_in("x" * 43)).code == "code"
        assert (await page.sign_in(code[:-1])).code == "code"


async def test_a_code_that_comes_twice_ends_the_session_of_the_first_and_both_are_told(
    timed: Running, time: Time
) -> None:
    """Even long after: the page of the user may have been the slower one."""
    code = await new_code(timed)
    async with browser(timed) as first, browser(timed) as second, signed_in(timed) as other:
        assert (await first.sign_in(code)).status == 200
        time.ms += DAY
        again = await second.sign_in(code)
        assert (again.status, again.code) == (401, "code_reused")
        assert "Set-Cookie" not in again.headers
        told = await first.ask("GET", THREADS)
        assert (told.status, told.code) == (401, "code_reused")
        assert (await other.ask("GET", THREADS)).status == 200
        await timed.restart()
        assert (await first.ask("GET", THREADS)).code == "code_reused"
        assert (await other.ask("GET", THREADS)).status == 200


async def test_two_pages_that_use_a_code_at_once_are_both_out(daemon: Running) -> None:
    code = await new_code(daemon)
    async with browser(daemon) as first, browser(daemon) as second:
        answers = await asyncio.gather(first.sign_in(code), second.sign_in(code))
        assert sorted(each.status for each in answers) == [200, 401]
        for page in (first, second):
            assert (await page.ask("GET", THREADS)).status == 401


async def test_the_end_of_a_session_ends_its_streams(daemon: Running) -> None:
    thread, code = await daemon.thread(), await new_code(daemon)
    async with browser(daemon) as first, browser(daemon) as second:
        await first.sign_in(code)
        headers = {"Sec-Fetch-Site": "same-origin", "Infinity-Console": first.key}
        url = f"{daemon.url}/v1/threads/{thread}/events"
        async with first.http.get(url, headers=headers) as stream, asyncio.timeout(PATIENCE):
            assert stream.status == 200
            assert (await second.sign_in(code)).code == "code_reused"
            with pytest.raises((aiohttp.ClientError, ConnectionError)):
                await stream.read()


async def test_a_session_lives_as_long_as_it_is_used(timed: Running, time: Time) -> None:
    async with signed_in(timed) as page:
        for _ in range(3):
            time.ms += 6 * DAY
            assert (await page.ask("GET", THREADS)).status == 200
        time.ms += 7 * DAY
        assert (await page.ask("GET", THREADS)).code == "session_expired"


async def test_a_young_cookie_is_not_replaced(timed: Running, time: Time) -> None:
    async with signed_in(timed) as page:
        assert "Set-Cookie" not in (await page.ask("GET", THREADS)).headers
        time.ms += DAY
        assert "Set-Cookie" in (await page.ask("GET", THREADS)).headers
        assert "Set-Cookie" not in (await page.ask("GET", THREADS)).headers


async def test_a_restart_keeps_sessions_and_a_new_token_does_not(daemon: Running) -> None:
    async with signed_in(daemon) as page:
        await daemon.restart()
        assert (await page.ask("GET", THREADS)).status == 200
        await daemon.stop()
        (daemon.home.path / "token").unlink()
        await daemon.start()
        assert (await page.ask("GET", THREADS)).code == "unauthorized"


async def test_a_page_signs_itself_out_and_no_other(daemon: Running) -> None:
    async with signed_in(daemon) as page, signed_in(daemon) as other:
        kept = page.cookie
        answer = await page.ask("DELETE", "/v1/console/session")
        assert (answer.status, answer.body) == (200, {"sessions": "this"})
        assert page.cookie == ""
        # Nor does a copy of the cookie help.
        again = await page.ask("GET", THREADS, headers={"Cookie": kept})
        assert (again.status, again.code) == (401, "signed_out")
        assert (await other.ask("GET", THREADS)).status == 200


async def test_the_token_signs_every_page_out_for_good(daemon: Running) -> None:
    async with signed_in(daemon) as page, signed_in(daemon) as other:
        answer = await daemon.ask("DELETE", "/v1/console/session")
        assert (answer.status, answer.body) == (200, {"sessions": "all"})
        for _ in range(2):
            for each in (page, other):
                assert (await each.ask("GET", THREADS)).code == "unauthorized"
            await daemon.restart()
        async with signed_in(daemon) as new:
            assert (await new.ask("GET", THREADS)).status == 200


async def test_a_row_that_cannot_be_read_ends_every_session(daemon: Running) -> None:
    async with signed_in(daemon) as page:
        await daemon.daemon.runtime.store.put_meta("console", b"\xff{")
        await daemon.restart()
        assert (await page.ask("GET", THREADS)).code == "unauthorized"
        assert (await page.sign_in()).status == 200


async def test_sign_ins_are_counted(timed: Running, time: Time) -> None:
    code, late = await new_code(timed), await new_code(timed)
    async with browser(timed) as page, browser(timed) as other:
        assert (await page.sign_in(code)).status == 200
        for _ in range(TRIES - 1):
            assert (await other.sign_in("guess")).code == "code"
        limited = await other.sign_in(late)
        assert (limited.status, limited.code, limited.headers["Retry-After"]) == (429, "limit", "60")
        # What tells of a code that was read by somebody else gets through all the same.
        assert (await other.sign_in(code)).code == "code_reused"
        time.ms += CODE_SECONDS * 1000
        assert (await page.sign_in()).status == 200


async def test_a_forged_cookie_is_none(daemon: Running) -> None:
    async with signed_in(daemon) as page:
        genuine = page.cookie
        name, _, value = genuine.partition("=")
        id, expiry, mac = value.split(".")
        later = str(int(expiry) + 1)
        forged = [
            *(f"{name}={id}.{expiry}.{end}" for end in ("", mac[:-4], mac + "A", "A" * 43, "\u00e9" * 43)),
            *(f"{name}={id}.{each}.{mac}" for each in ("", later, f"0{expiry}", "\u0661", "9" * 15, "-1")),
            *(f"{name}={each}.{expiry}.{mac}" for each in ("", f"s{id[1:]}", id[::-1], "h" + "A" * 22)),
            *(f"{name}={each}" for each in ("", ".", "..", f"{id}.{expiry}", f"{value}.", "x" * 4000)),
            *(f"{each}={value}" for each in ("", "infinity", f"{name}1", name.upper(), f"__Host-{name}")),
            value,
        ]
        page.http.cookie_jar.clear()
        for cookie in forged:
            alone = await page.ask("GET", THREADS, headers={"Cookie": cookie})
            assert (alone.status, alone.code) == (401, "unauthorized"), cookie
        # A server on another port may set as many as it likes beside the genuine one.
        both = f"{forged[0]}; {genuine}; {forged[-2]}"
        assert (await page.ask("GET", THREADS, headers={"Cookie": both})).status == 200


async def test_a_key_is_good_for_its_own_session_only(daemon: Running) -> None:
    async with signed_in(daemon) as page, signed_in(daemon) as other:
        for key in ("", "x", page.key[:-1], page.key + "x", other.key, "\u00e9"):
            assert (await page.ask("GET", THREADS, key=key)).code == "unauthorized"
        assert (await page.ask("GET", THREADS)).status == 200


async def test_what_a_page_does_is_the_users_doing(tmp_path: Path) -> None:
    async with running(tmp_path / "home", "[console]\nuser = 'ada'\n") as daemon, signed_in(daemon) as page:
        thread = await daemon.thread()
        body = {"content": "hello", "user_id": "somebody else"}
        assert (await page.ask("POST", f"/v1/threads/{thread}/messages", json=body)).status == 200
        await daemon.said(thread, "hello")
        entries = (await daemon.get(f"/v1/threads/{thread}/entries")).body["entries"]
        assert "'ada'" in str(entries) and "somebody else" not in str(entries)


async def test_without_the_setting_nothing_of_it_is_there(tmp_path: Path) -> None:
    async with running(tmp_path / "home", "[console]\nenabled = false\n") as daemon:
        for path in ("/", "/t/x", "/assets/x/app.css"):
            assert (await daemon.get(path)).code == "no_route"
        assert (await daemon.post("/v1/console/codes")).code == "no_route"
        assert "/v1/console/codes" not in (await daemon.get("/openapi.json")).body["paths"]
        page = {"Authorization": "none", "Infinity-Console": "x", "Sec-Fetch-Site": "same-origin"}
        assert (await daemon.get(THREADS, headers=page)).code == "unauthorized"
        assert (await daemon.get(THREADS)).status == 200


async def test_where_nothing_is_encrypted_nobody_signs_in(tmp_path: Path) -> None:
    async with running(tmp_path / "home") as daemon, signed_in(daemon) as page:
        text = daemon.home.config.read_text()
        daemon.home.config.write_text(text + "host = '0.0.0.0'\n")
        code = await new_code(daemon)
        await daemon.restart()
        refused = await daemon.post("/v1/console/codes")
        assert (refused.status, refused.code) == (409, "console_address")
        assert f"ssh -L {daemon.port}:127.0.0.1:{daemon.port}" in refused.body["error"]["message"]
        assert (await page.sign_in(code)).code == "console_address"
        assert (await page.ask("GET", THREADS)).code == "unauthorized"
        daemon.home.config.write_text(text + "host = '0.0.0.0'\npublic_url = 'https://agent.example'\n")
        await daemon.restart()
        made = await daemon.post("/v1/console/codes")
        assert made.body["url"] == f"https://agent.example/#code={made.body['code']}"


async def test_over_https_the_cookie_is_for_https_only(tmp_path: Path) -> None:
    config = "public_url = 'https://agent.example'\nhosts = ['agent.lan']\n"
    async with running(tmp_path / "home", config) as daemon, browser(daemon) as page:
        public = {"Host": "agent.example", "Origin": "https://agent.example"}
        answer = await page.sign_in(headers=public)
        cookie = answer.headers["Set-Cookie"]
        assert "; Secure" in cookie
        sent = {"Cookie": cookie.partition(";")[0]}
        assert (await page.ask("GET", THREADS, headers=public | sent)).status == 200
        # A proxy may ask under the daemon's own name.
        assert (await page.ask("GET", THREADS, headers=sent)).status == 200
        # By a name over http browsers say nothing of where a request comes from, and others could.
        assert (await page.ask("GET", THREADS, headers=sent | {"Host": "agent.lan"})).code == "unauthorized"
        # On this machine there is a way without the proxy.
        assert "; Secure" not in (await page.sign_in()).headers["Set-Cookie"]
