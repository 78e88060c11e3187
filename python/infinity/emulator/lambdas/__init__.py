"""AWS Lambda: functions in processes or in this one, their event source mappings and URLs, and the operations
on them.
"""

from .context import Context
from .function import Function
from .mapping import EventSourceMapping
from .service import Lambdas
from .settings import FunctionSettings

__all__ = ["Context", "EventSourceMapping", "Function", "FunctionSettings", "Lambdas"]
