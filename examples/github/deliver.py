"""Plays GitHub: signs one of its real webhook bodies and delivers it. `python deliver.py pull_request.opened`"""

import os
import sys
import uuid

from infinity.demo.github_events import GitHub

if "GITHUB_WEBHOOK_SECRET" not in os.environ:
    sys.exit("GITHUB_WEBHOOK_SECRET is not set; it is the one that the agent was started with")
github = GitHub("http://127.0.0.1:8811/webhook", os.environ["GITHUB_WEBHOOK_SECRET"].encode())
print(github.deliver(sys.argv[1], str(uuid.uuid4())))
