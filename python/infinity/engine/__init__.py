"""The slice engine: the same on every host."""
