"""Where threads are kept: one SQLite file beside the daemon, or PostgreSQL and Aurora DSQL; one contract,
``infinity.abc.Store``.
"""
