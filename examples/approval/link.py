"""Links that only we can make: the desk believes those that carry our signature."""

import hmac
import os
from urllib.parse import quote

SECRET = os.environ.get("APPROVAL_SECRET", "").encode()
DESK = os.environ.get("APPROVAL_DESK", "http://127.0.0.1:8824")


def signature(thread: str, prompt: str) -> str:
    if not SECRET:
        raise RuntimeError("APPROVAL_SECRET is not set; links could be forged")
    return hmac.new(SECRET, f"{thread} {prompt}".encode(), "sha256").hexdigest()


def link(thread: str, prompt: str) -> str:
    return f"{DESK}/approve/{quote(thread)}/{quote(prompt)}?signature={signature(thread, prompt)}"
