"""The language of scripted models; see ``infinity.models.script``."""

from infinity.models.heard import Heard, HeardEvent, HeardResult, hear
from infinity.models.script import Reply, Script

__all__ = ["Heard", "HeardEvent", "HeardResult", "Reply", "Script", "hear"]
