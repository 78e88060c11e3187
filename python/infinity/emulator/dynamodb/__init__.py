"""Amazon DynamoDB: items, conditions, updates, and the operations on them."""

from .losses import delayed, lost, repeated
from .service import DynamoDb

__all__ = ["DynamoDb", "delayed", "lost", "repeated"]
