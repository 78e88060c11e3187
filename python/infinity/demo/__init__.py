"""``infinity demo``: the real daemon, two real tool servers, a crash in the middle, and counts that add up."""
