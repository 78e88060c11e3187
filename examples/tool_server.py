import hmac
import json
import os

from infinity.rap.server import Event, Toolset, Webhook, serve

SECRET = os.environ.get("POST_OFFICE_SECRET", "").encode()

tools = Toolset("parcels", "What the post office knows.")


@tools.tool(read_only=True)
async def locate(parcel: str) -> str:
    """Where a parcel is now."""
    return f"{parcel} is in Leipzig."


@tools.subscription
async def watch(parcel: str) -> str:
    """Tell me whenever a parcel moves."""
    return f"Watching {parcel}."


@tools.webhook("/moved")
async def moved(request: Webhook) -> int:
    signature = hmac.digest(SECRET, request.body, "sha256").hex().encode()
    if not SECRET or not hmac.compare_digest(signature, request.headers.get("x-signature", "").encode()):
        return 401
    move = json.loads(request.body)
    for subscription in await tools.subscriptions(watch):
        if subscription.arguments["parcel"] == move["parcel"]:
            await subscription.send(Event(f"{move['parcel']} is now in {move['place']}.", id=move["id"]))
    return 200


if __name__ == "__main__":
    serve(tools, port=int(os.environ.get("PORT", "8801")), state_path="parcels.db")
