"""The page behind a link: it shows the question of a tool and takes the answer to the daemon. It keeps nothing itself."""

import hmac
import html
import json
import os
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from link import signature

HOME = Path(os.environ.get("INFINITY_HOME", "~/.infinity")).expanduser()

PAGE = "<!doctype html><meta charset=utf-8><title>Approval</title><h1>{title}</h1>{buttons}"
DECIDED = "There is nothing to decide here any more."
BUTTON = "<form method=post><button name=selected value={index}>{choice}</button></form>"


async def show(request: web.Request) -> web.Response:
    """Looking decides nothing: mail programs and chats fetch links, too."""
    prompt = await question(request)
    if prompt is None:
        return page(DECIDED)
    buttons = [
        BUTTON.format(index=index, choice=html.escape(choice))
        for index, choice in enumerate(prompt["choices"])
    ]
    return page(prompt["prompt"], "".join(buttons))


async def decide(request: web.Request) -> web.Response:
    prompt = await question(request)
    selected = (await request.post()).get("selected")
    if prompt is None:
        return page(DECIDED)
    if selected not in map(str, range(len(prompt["choices"]))):
        raise web.HTTPBadRequest(text="That was not among the choices.")
    path = f"/v1/threads/{request.match_info['thread']}/choices/{prompt['id']}"
    if await daemon("POST", path, {"selected": int(str(selected))}) is None:
        return page(DECIDED)
    return page(f"Noted: {prompt['choices'][int(str(selected))]}.")


async def question(request: web.Request) -> dict[str, Any] | None:
    """The open question that the link is about; ``None`` if it was answered."""
    thread, prompt = request.match_info["thread"], request.match_info["prompt"]
    if not hmac.compare_digest(
        request.query.get("signature", "").encode(), signature(thread, prompt).encode()
    ):
        raise web.HTTPForbidden(text="This link was not made by us.")
    found = await daemon("GET", f"/v1/threads/{thread}") or {"prompts": []}
    return next((each for each in found["prompts"] if each["id"] == prompt), None)


async def daemon(method: str, path: str, body: Any = None) -> Any:
    """Its address and token are in the home directory, which only its user can read. ``None``: it knows nothing of this (any more)."""
    address = json.loads((HOME / "daemon.json").read_text())["address"]
    headers = {"Authorization": f"Bearer {(HOME / 'token').read_text().strip()}"}
    async with aiohttp.ClientSession(address, headers=headers) as http:
        try:
            async with http.request(method, path, json=body) as response:
                if response.status in (404, 409):
                    return None
                response.raise_for_status()
                return await response.json()
        except aiohttp.ClientError:
            raise web.HTTPServiceUnavailable(text="Not now; try again in a moment.") from None


def page(title: str, buttons: str = "") -> web.Response:
    return web.Response(text=PAGE.format(title=html.escape(title), buttons=buttons), content_type="text/html")


def main() -> None:
    application = web.Application()
    application.router.add_get("/approve/{thread}/{prompt}", show)
    application.router.add_post("/approve/{thread}/{prompt}", decide)
    web.run_app(application, host="127.0.0.1", port=int(os.environ.get("DESK_PORT", "8824")), print=None)


if __name__ == "__main__":
    main()
