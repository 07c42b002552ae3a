"""Fuzzing of the renderer with mutants of pictures. A render must give a rendition or raise a documented error.

A mutant is changed within the parts of its container (segments, chunks, boxes), and lengths and checksums are
corrected, so that it passes the parsers and reaches the decoders. Its number determines it. Coverage does not steer the
mutations: atheris would measure the Python code, but not the decoders in C.
"""
