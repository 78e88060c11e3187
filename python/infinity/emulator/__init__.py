"""AWS on loopback: stand-ins of what the cloud host uses, for tests and for ``infinity cloud local``.

``stack.Emulator`` is the door to all of it. ``service`` takes requests and checks signatures
(``signature``) and permissions; ``protocols`` knows how services are spoken to; ``sqs``, ``dynamodb``,
``s3``, ``scheduler``, ``secrets``, ``sts``, ``rules`` and ``lambdas`` are the services; ``faults`` spoils
calls; ``clock`` is the time of all.

A stand-in refuses what AWS refuses, in AWS's words, and offers only the operations that the host uses.
Being more lenient than AWS is the one thing that must never be done here: a test that passes would then
prove nothing. No function on AWS imports this package.
"""

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
