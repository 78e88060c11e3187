"""One slice, step by step; each file is one step and exports one function named like it.

    load        the thread's state, cached by version or read from the store           (I8)
    prepare     fold the batch into history, in order                                  (I3, I4, L5)
    complete    render the request, stream the model, gather the turn                  (L8, R5)
    dispatch    plan every call of the turn; built-ins answer in place                 (I5, M1)
    commit      everything in one transaction                                          (I6)
    (yield)     ``engine/loop.py`` releases the thread; the outbox delivers

``complete`` and ``dispatch`` repeat while the turn's calls were all answered in place.
"""
