"""A tool server that turns GitHub's webhooks into events of subscriptions. It takes real ones: same bodies,
same signatures.
"""

from __future__ import annotations

import hmac
import json
import os
from typing import Any

from infinity.demo.github_events import signature
from infinity.demo.reporting import main, report, say
from infinity.rap.server import Call, Event, Toolset, Webhook

SECRET = os.environ.get("GITHUB_WEBHOOK_SECRET", "").encode()

tools = Toolset("repository", "Watches repositories on GitHub.")


@tools.subscription(display_script='"watch " + args.repository')
async def watch_repo(repository: str, events: list[str], call: Call) -> str:
    """Subscribe to a GitHub repository (owner/name): events such as pull_request, push, issues, workflow_run."""
    report("invoked", id=call.id)
    say(f"watching {repository} for {', '.join(events)}")
    return f"Watching {repository}."


@tools.webhook("/webhook")
async def github(request: Webhook) -> int:
    """Refuses what GitHub did not sign (S8); gives every event its delivery's id, so that a redelivery is the same event (R3)."""
    # Compared before the body is read as anything: a stranger's JSON is not even parsed.
    given = request.headers.get("x-hub-signature-256", "")
    if not SECRET or not hmac.compare_digest(given.encode(), signature(SECRET, request.body).encode()):
        say("refused a webhook that is not signed with the shared secret")
        return 401
    kind = request.headers.get("x-github-event", "")
    delivery = request.headers.get("x-github-delivery")
    body = json.loads(request.body)
    for subscription in await tools.subscriptions(watch_repo):
        wanted = subscription.arguments
        if wanted["repository"] == body["repository"]["full_name"] and kind in wanted["events"]:
            await subscription.send(Event(_told(kind, body), id=delivery, associative=True))
    return 200


def _told(kind: str, body: dict[str, Any]) -> str:
    """The event in words, then what a reader may want to look up."""
    actor = body["sender"]["login"]
    if kind == "pull_request":
        request = body["pull_request"]
        return (
            f"Pull request #{request['number']} was {body['action']} by {actor}: {request['title']}\n\n"
            f"{request['body'] or '(no description)'}\n\n{request['changed_files']} files changed, "
            f"+{request['additions']} -{request['deletions']}, {request['html_url']}"
        )
    return f"{kind} {body.get('action', '')} by {actor} in {body['repository']['full_name']}"


if __name__ == "__main__":
    main(tools)
