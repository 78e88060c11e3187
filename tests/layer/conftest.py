"""``make layer`` runs these with ``INFINITY_WHEEL``: they need a wheel for Lambda, and the network for what goes with it."""

import os

collect_ignore = [] if os.environ.get("INFINITY_WHEEL") else ["test_one_wheel.py"]
