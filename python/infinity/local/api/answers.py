"""Answers as aiohttp sends them."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from infinity.abc import Accepted
from infinity.api import outcome as outcomes
from infinity.api import responses as answers

__all__ = ["accepted", "answer", "respond", "taken"]


def respond(made: answers.Answer) -> web.Response:
    return web.Response(
        status=made.status, body=made.body, headers=made.headers, content_type="application/json"
    )


def answer(value: Any, *, status: int = 200) -> web.Response:
    return respond(answers.answer(value, status=status))


def taken(outcome: Accepted) -> web.Response:
    return respond(outcomes.taken(outcome))


def accepted(outcome: Accepted, *, rule: str | None = None) -> web.Response:
    return respond(outcomes.accepted(outcome, rule=rule))
