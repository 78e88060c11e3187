"""AWS on loopback: stand-ins of what the cloud host uses, for tests and for ``infinity cloud local``."""

from .clock import Clock, WallClock
from .dynamodb import delayed, lost, repeated
from .failure import AwsError
from .faults import Fault, Faults, Gate, broken, refused, reset, slow, throttled
from .signature import Credentials
from .stack import Emulator

__all__ = [
    "AwsError",
    "Clock",
    "Credentials",
    "Emulator",
    "Fault",
    "Faults",
    "Gate",
    "WallClock",
    "broken",
    "delayed",
    "lost",
    "refused",
    "repeated",
    "reset",
    "slow",
    "throttled",
]
