"""The local host: one daemon per home directory, on SQLite and plain HTTP."""
