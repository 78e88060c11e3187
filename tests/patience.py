"""How long a test waits for what must come.

A bound of this kind only ends a test that would otherwise hang, so it is generous: a machine that is busy with other things must not fail a test.
Nothing may be concluded from its length; what must *not* happen is shown by an event that comes after it.
"""

import os

PATIENCE = float(os.environ.get("INFINITY_PATIENCE", "120"))
"""Seconds. Less than the time limit of a test, so that a wait that fails says what it waited for.

``make mutants`` sets less: there, what does not come is what is looked for.
"""
