"""Running functions that others wrote: one runner for functions of this process and for the tool server
kit.
"""
