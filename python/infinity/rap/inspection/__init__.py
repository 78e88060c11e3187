"""Does a tool server, in whatever language, keep the protocol? Reads its description, then calls it as a
runtime would.

report = await inspect_server("http://127.0.0.1:8801")
"""

from .inspector import Trial, inspect_server
from .report import Finding, Outcome, Report
from .visit import TimeLimits

__all__ = ["Finding", "Outcome", "Report", "TimeLimits", "Trial", "inspect_server"]
