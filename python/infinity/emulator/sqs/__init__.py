"""Amazon SQS: queues, their order and their settings, and the operations on them."""

from .queue import Message, Queue
from .service import Sqs

__all__ = ["Message", "Queue", "Sqs"]
