"""The Reactive Agent Protocol: wire messages, discovery, capabilities, the client side and the server kit."""
