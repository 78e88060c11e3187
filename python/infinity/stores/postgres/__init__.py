"""``abc.Store`` on PostgreSQL, or on Aurora DSQL: one transaction a commit, fenced by the thread's version
(I1, I6).

``address`` which server, and what it allows → ``connections`` reused, renewed → ``transactions`` tried
again on conflicts → ``store``, whose operations are in ``inbox``, ``commit``, ``timers``, ``outbox``,
``trees`` (writes) and ``state``, ``records``, ``queues``, ``facts`` (reads). ``schema`` has the tables;
only ``migrate`` makes them.
"""
