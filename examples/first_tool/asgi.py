import os

from tools import tools

application = tools.asgi("kitchen.db", token=os.environ.get("INFINITY_TOOLS_TOKEN"))
