"""The store of one process: the journal of the Rust core in one SQLite file, awaited from asyncio."""
