"""HTTP text to values and back, as pure functions.

This package does not use sockets, the clock, the bytes of pictures or a web framework.
"""
