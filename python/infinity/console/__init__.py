"""The web console: its files as the browser gets them, and the table that they are served from. ``local/console`` serves them."""

from .files import Asset, Console, console

__all__ = ["Asset", "Console", "console"]
