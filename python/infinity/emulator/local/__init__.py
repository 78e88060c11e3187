"""``infinity cloud local``: a whole deployment on one machine, from a directory like the one that would be
deployed.
"""

from .deployment import Deployment
from .folder import Folder
from .plan import Plan, ToolFunction

__all__ = ["Deployment", "Folder", "Plan", "ToolFunction"]
