"""``infinity send`` and ``infinity choose``: words and answers for a thread.

They return once the daemon has made the message durable, and wait for no answer.
"""

from __future__ import annotations

import json
import sys
from typing import Any
from urllib.parse import quote

import click

from .connection import connect
from .display import print_json
from .exits import NOT_FOUND, Failure
from .keys import tell_of_missing_keys
from .options import THREAD, as_json, home_option

__all__ = ["choose", "send"]


@click.command(
    epilog="Examples: infinity send thread_1 'and now the tests' · git diff | infinity send --new - "
)
@click.argument("thread", required=False)
@click.argument("text", required=False)
@click.option("--new", is_flag=True, help="Begin a new thread with this message.")
@click.option("--model", help="Model of the new thread.")
@click.option("--title", default="", help="Title of the new thread.")
@click.option("--key", metavar="KEY", help="Sending again under the same key is harmless.")
@click.option("--user", metavar="ID", help="Whose message it is.")
@as_json
@home_option
def send(
    thread: str | None,
    text: str | None,
    new: bool,
    model: str | None,
    title: str,
    key: str | None,
    user: str | None,
    as_json: bool,
) -> None:
    """Send TEXT to THREAD; '-' or nothing reads it from standard input. Returns once it is durable."""
    if new:
        # With ``--new`` the first argument is the text.
        thread, text = None, thread if text is None else text
    elif thread is None:
        raise click.UsageError("say which THREAD, or --new for a new one")
    elif model or title:
        raise click.UsageError("--model and --title are for --new")
    else:
        thread = THREAD.convert(thread, None, None)
    if text is None or text == "-":
        text = sys.stdin.read()
    if not text.strip():
        raise click.UsageError("the message is empty")
    connection = connect()
    tell_of_missing_keys(connection)
    if thread is None:
        thread = connection.post("/v1/threads", {"model": model, "title": title}, key=key)["id"]
    body = {"content": text} if user is None else {"content": text, "user_id": user}
    outcome = connection.post(f"/v1/threads/{thread}/messages", body, key=key)
    if as_json:
        print_json({"thread": thread, **outcome})
    else:
        click.echo(f"{outcome['status']}: {thread}")


@click.command(epilog="Example: infinity choose thread_1 1     infinity choose thread_1 --dismiss")
@click.argument("thread", type=THREAD)
@click.argument("choice", nargs=-1)
@click.option("--dismiss", is_flag=True, help="Do not answer: the question's default stands.")
@click.option("--user", metavar="ID", help="Whose answer it is.")
@click.option("--reason", metavar="TEXT", help="Why a call is not allowed; the model is told.")
@click.option("--arguments", metavar="JSON", help="Allow the call with these arguments in place of its own.")
@as_json
@home_option
def choose(
    thread: str,
    choice: tuple[str, ...],
    dismiss: bool,
    user: str | None,
    reason: str | None,
    arguments: str | None,
    as_json: bool,
) -> None:
    """Answer a question of THREAD: [PROMPT] INDEX. PROMPT can be left out while there is one question only."""
    if len(choice) > (1 if dismiss else 2) or not (choice or dismiss):
        raise click.UsageError("say: infinity choose THREAD [PROMPT] INDEX, or THREAD [PROMPT] --dismiss")
    selected = None if dismiss else _index(choice[-1])
    named = choice[0] if len(choice) == (1 if dismiss else 2) else None
    connection = connect()
    # Asked for now: another question may have come meanwhile, and then the user has to say which one is
    # meant.
    prompt = named or _only(connection.get(f"/v1/threads/{thread}")["prompts"])
    given = {"user_id": user, "reason": reason, "arguments": _object(arguments)}
    body = {"selected": selected, **{name: value for name, value in given.items() if value is not None}}
    outcome = connection.post(f"/v1/threads/{thread}/choices/{quote(prompt, safe='')}", body)
    if as_json:
        print_json({"thread": thread, "prompt": prompt, **outcome})
    else:
        click.echo(f"{outcome['status']}: {prompt}")


def _object(text: str | None) -> dict[str, Any] | None:
    try:
        found = None if text is None else json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"--arguments is not JSON: {error}") from None
    if text is not None and not isinstance(found, dict):
        raise click.UsageError("--arguments must be a JSON object, as in '{\"loaves\": 3}'")
    return found


def _index(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise click.UsageError(f"INDEX is the number of a choice, counted from 0, not {text!r}")
    return int(text)


def _only(prompts: list[dict[str, object]]) -> str:
    questions = [str(prompt["id"]) for prompt in prompts if prompt.get("choices")]
    if not questions:
        raise Failure("the thread has no open question", NOT_FOUND)
    if len(questions) > 1:
        raise click.UsageError(f"the thread has several questions, say which: {', '.join(questions)}")
    return questions[0]
