"""The functions as a deployment has them, with less patience: for processes that run AWS's runtime client."""

from __future__ import annotations

from infinity.cloud import alarms, batch
from infinity.cloud.handlers import agent, receiver, relay

__all__ = ["agent", "receiver", "relay"]

batch.LISTEN = 0.2
batch.PATIENCE = 1.0
# What is due later has a schedule.
alarms.LONGEST_DELAY = batch.LONGEST_DELAY = 1
