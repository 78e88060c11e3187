"""A Lambda layer of the wheel: ``build`` makes one, ``check`` runs what came out.

``wheel`` what the wheel is → ``dependencies`` pip, for Lambda's Python and processor → ``archive`` pruned,
compiled, packed. ``python`` versions and interpreters; ``runtime`` a function under Lambda's own runtime
client.
"""
