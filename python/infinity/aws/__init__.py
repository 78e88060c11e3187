"""AWS as the cloud host needs it, without an SDK on the hot path: one small client, and what is spoken to with it.

``credentials`` who we are → ``signing`` Signature V4 → ``endpoints`` where a service is → ``client`` one request, tried again where that helps →
``failure`` what AWS refused, in words; ``sqs`` queues, ``secrets`` settings by reference.
"""
