"""What Function URLs serve: one file for each noun, every route in ``routes.py``; the answers are those of the daemon (``infinity.api``)."""
