"""The test kit: users test their agents offline with the same parts that Infinity's own tests use.

``script``: what a scripted model answers. ``model_server``: the Messages API over real HTTP, driven by a script. ``messages_rules``: what
that API refuses. ``openai_server``, ``bedrock_server``: the same for those APIs. ``provider_contract``: tests for anyone's model provider.
"""
