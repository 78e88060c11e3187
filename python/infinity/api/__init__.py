"""The HTTP interface of both hosts: one table of routes, one set of handlers, one map of errors.

``local/http.py`` (aiohttp) and ``cloud/function_url.py`` (Lambda) adapt it to their servers. A request goes from the adapter, as a ``Request``, to the handler that
``routes.py`` names, which works with a ``Backend`` and returns a ``Response``. Nothing here may import a host or a server.
"""
