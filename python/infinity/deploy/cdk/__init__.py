"""The whole deployment as a construct for the AWS CDK. Needs the extra ``cdk`` and Node; no function imports
it.

``options`` what can be chosen → ``agent`` the construct → ``queues``, ``stores``, ``functions`` what it is
made of, ``existing`` what was there before, ``permissions`` who may do what, ``shares`` of the account's
concurrency, ``backup`` copies, ``toolsets`` and ``tool_function`` tool servers, ``alarms`` when to be
called.
"""

from infinity.deploy.cdk.agent import InfinityAgent
from infinity.deploy.cdk.options import Options
from infinity.deploy.cdk.stores import Stores
from infinity.deploy.cdk.tool_function import ToolFunction

__all__ = ["InfinityAgent", "Options", "Stores", "ToolFunction"]
