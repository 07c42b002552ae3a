"""HTTP text to values and back, as pure functions. Knows no socket, no clock, no picture bytes and no web framework."""
