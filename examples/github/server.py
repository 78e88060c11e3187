"""GitHub's webhooks as events of a subscription. Deliveries that GitHub did not sign are refused; a redelivery is the same event."""

import hmac
import json
import os
from typing import Any

from infinity.rap.server import Event, ToolError, Toolset, Webhook, serve

SECRET = os.environ.get("GITHUB_WEBHOOK_SECRET", "").encode()

tools = Toolset("github", "Watches repositories on GitHub.")


@tools.subscription(display_script='"watch " + args.repository')
async def watch_repository(repository: str, events: list[str]) -> str:
    """Subscribe to a GitHub repository (owner/name). events: pull_request, push, issues, issue_comment, workflow_run, release, …"""
    if not SECRET:
        raise ToolError("no webhook can be believed: GITHUB_WEBHOOK_SECRET is not set for the tool server")
    return f"Watching {repository} for {', '.join(events)}."


@tools.webhook("/webhook")
async def receive(request: Webhook) -> int:
    signature = "sha256=" + hmac.new(SECRET, request.body, "sha256").hexdigest()
    given = request.headers.get("x-hub-signature-256", "")
    if not SECRET or not hmac.compare_digest(given.encode(), signature.encode()):
        return 401
    kind = request.headers["x-github-event"]
    delivery = request.headers["x-github-delivery"]
    body = json.loads(request.body)
    repository = body.get("repository", {}).get("full_name")
    for subscription in await tools.subscriptions(watch_repository):
        wanted = subscription.arguments
        if wanted["repository"] == repository and kind in wanted["events"]:
            # Not associative: each event gets a child thread, and the conversation hears what that child reports.
            await subscription.send(Event(in_words(kind, body), id=delivery))
    return 200


def in_words(kind: str, body: dict[str, Any]) -> str:
    """What happened in the first line, then what a reader may want to look up."""
    by = f"by {body['sender']['login']}"
    match kind:
        case "pull_request":
            change = body["pull_request"]
            size = f"{change['changed_files']} files, +{change['additions']} -{change['deletions']}"
            return f"Pull request #{change['number']} {body['action']} {by}: {change['title']}\n{size}\n{change['html_url']}\n\n{change['body']}"
        case "issues" | "issue_comment":
            issue = body["issue"]
            said = body.get("comment", issue)["body"]
            return f"Issue #{issue['number']}, {kind} {body['action']} {by}: {issue['title']}\n{issue['html_url']}\n\n{said}"
        case "push":
            commits = "\n".join(f"{each['id'][:10]} {each['message']}" for each in body["commits"])
            return f"Push to {body['ref']} {by}\n{body['compare']}\n\n{commits}"
        case "workflow_run":
            run = body["workflow_run"]
            return f"Workflow {run['name']} {body['action']} ({run['conclusion']}) on {run['head_branch']}\n{run['html_url']}"
        case _:
            return f"{kind} {body.get('action', '')} {by} in {body['repository']['full_name']}"


if __name__ == "__main__":
    serve(tools, port=int(os.environ.get("PORT", "8811")), state_path="github.db")
