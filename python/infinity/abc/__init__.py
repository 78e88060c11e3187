"""The contracts between the engine and its hosts: one noun a file, one contract-test body for each."""

from .alarm import Alarm
from .clock import Clock
from .mailbox import Mailbox
from .model import (
    Model,
    ModelCall,
    ModelInfo,
    ModelRequest,
    Models,
    Part,
    Reasoning,
    Text,
    ToolUse,
    Turn,
    Usage,
)
from .observer import Observer
from .store import (
    INCOMPLETE,
    Accepted,
    Condemned,
    Expect,
    FeedRow,
    Generation,
    Imported,
    OutboxRow,
    PromptRow,
    Status,
    Store,
    ThreadRow,
    TimerRow,
    Tombstone,
)
from .tools import Builtin, Catalog, Catalogs, Checker, Offer, Stage, Wire
from .transport import Delivery, Transport, Verdict

__all__ = [
    "INCOMPLETE",
    "Accepted",
    "Alarm",
    "Builtin",
    "Catalog",
    "Catalogs",
    "Checker",
    "Clock",
    "Condemned",
    "Delivery",
    "Expect",
    "FeedRow",
    "Generation",
    "Imported",
    "Mailbox",
    "Model",
    "ModelCall",
    "ModelInfo",
    "ModelRequest",
    "Models",
    "Observer",
    "Offer",
    "OutboxRow",
    "Part",
    "PromptRow",
    "Reasoning",
    "Stage",
    "Status",
    "Store",
    "Text",
    "ThreadRow",
    "TimerRow",
    "Tombstone",
    "ToolUse",
    "Transport",
    "Turn",
    "Usage",
    "Verdict",
    "Wire",
]
