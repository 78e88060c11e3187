"""The store of one process: the journal of the Rust core in one SQLite file, awaited from asyncio.

Everything that reads or writes the file is in the core (``rust/src/journal``); here is only the
waiting.
"""
