"""Pixels to files. `writers` has a row for every format."""
