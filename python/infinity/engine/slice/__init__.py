"""One slice, phase by phase; each file is one phase and exports one function named like it. The phases do not know each other.

    load        the thread's state, cached by version or read from the store           (I8)
    consult     what the batch needs to know beyond that state
    prepare     fold the batch into history, in order                                  (I3, I4, L5)
    complete    render the request, stream the model, gather the turn                  (L8, R5)
    dispatch    plan every call of the turn; built-ins answer in place                 (I5, M1)
    commit      everything in one transaction                                          (I6)
    (yield)     ``engine/slices.py`` announces what is durable, ``engine/loop.py`` releases the thread

``complete`` and ``dispatch`` repeat while the turn's calls were all answered in place; before each round what has arrived is consulted and prepared, too.

``state`` is what they hand on: ``Slice``, called ``current`` wherever it is handed. What it does to the world is beside this package:

    calls       end them, let them leave, move them aside                              (L4, INV-8)
    children    make them, and what a parent hears of them                             (L12, L13, THR-5)
    questions   what a person is asked, and for how long                               (OAU-1, CHO-1, CHO-3)
    content     what may enter history, and how much of it                             (I11)
    spending    whether a completion may be bought, and what a failed one means        (I12, R8)
    endings     interrupts and closes, in portions                                     (B15)
"""
