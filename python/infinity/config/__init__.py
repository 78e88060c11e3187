"""``infinity.toml``: ``schema`` says what it may say, ``reading`` makes a ``Config`` of a file and the
environment. The same for every host.
"""
