"""Models: one provider, one file.

``registry`` maps configured names to providers (``providers`` makes them); the engine asks them through
``edge`` alone. Two wire formats are spoken: the Messages API (``anthropic``, ``anthropic_sdk``,
``bedrock``; ``request`` out, ``events`` and ``turn`` in) and OpenAI's two APIs (``openai``;
``openai_chat`` and ``openai_responses``, with what endpoints want otherwise in ``dialects`` and
``learning``). ``script`` and ``scripted`` answer without a network. Nothing heavy is imported until a
provider is used.
"""
