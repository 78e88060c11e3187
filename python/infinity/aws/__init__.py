"""AWS as the cloud host needs it, without an SDK on the hot path: one small client, and what is spoken to
with it.

``credentials`` who we are → ``signing`` Signature V4 → ``endpoints`` where a service is → ``client``
one request, tried again where that helps → ``failure`` what AWS refused, in words → ``breaker`` a
service that gives no answer is left alone; ``sqs`` queues, ``dynamodb`` one table, ``secrets`` settings
by reference, ``starting`` mappings and rules.

A low layer: hosts and stores import it, it imports neither. Every failure is an ``AwsError``, which is
a ``StoreError``.
"""
