"""A function for tests that does as its event says."""

from __future__ import annotations

import importlib
import os
import signal
import time
from pathlib import Path
from typing import Any

COUNT = 0


def handler(event: Any, context: Any) -> Any:
    global COUNT
    COUNT += 1
    if "print" in event:
        print(event["print"], flush=True)
    if "tell" in event:
        Path(event["tell"]).write_text("running")
    if "until" in event:
        while not Path(event["until"]).exists():
            time.sleep(0.01)
    if "raise" in event:
        raise ValueError(event["raise"])
    if "exit" in event:
        os._exit(event["exit"])
    if "hang" in event:
        signal.pause()
    if "sqs" in event:
        import boto3

        client = boto3.client("sqs")
        url = client.get_queue_url(QueueName=event["sqs"])["QueueUrl"]
        client.send_message(QueueUrl=url, MessageBody="from the function")
    if "answer" in event:
        return event["answer"]
    return {
        "event": event,
        "count": COUNT,
        "pid": os.getpid(),
        "arn": context.invoked_function_arn,
        "remaining": context.get_remaining_time_in_millis(),
        "environment": dict(os.environ),
        "word": importlib.import_module(event["import"]).WORD if "import" in event else None,
    }
