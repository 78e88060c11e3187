"""The web console, as the daemon serves it: its pages, and who may use them."""
