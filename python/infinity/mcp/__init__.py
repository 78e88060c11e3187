"""The bridge to MCP: the tools of one MCP server, offered over RAP by a process of its own.

The journey of a call: ``server`` takes the invocation (the kit has made it durable), ``toolset`` finds the
MCP tool, ``connection`` gives a session, ``calls`` minds its time and progress, ``questions`` puts what
the server asks to the user, ``tasks`` polls what takes long, ``content`` turns the answer into a result.
``process`` and ``web`` are the two transports, ``authorization`` is OAuth.

Everything that imports the MCP SDK is imported by this process only, never by the daemon.
"""
