"""What runs on AWS Lambda: the cloud host's functions, the parts that they are made of, and tools as
functions.

``handlers`` has the entry points, ``host`` puts the parts together, ``batch`` runs slices. Nothing here is
imported before it is used, and nothing here needs boto3: AWS is spoken to by ``infinity.aws``.
"""
