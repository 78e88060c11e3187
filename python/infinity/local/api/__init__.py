"""The daemon's HTTP interface: one file for each noun, every route in ``routes.py``."""
