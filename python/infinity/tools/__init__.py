"""Tools: the built-ins, what a thread tree is offered, functions of this process."""
