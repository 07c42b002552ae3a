"""Broken pictures by the thousand. Whatever the bytes are, a render gives a rendition or refuses in our own words.

The mutants know the containers (segments, chunks, boxes, directories) and mend lengths and checksums, so that they get
past the parsers to the decoders. They are drawn from numbers alone: the same number is the same mutant. Nothing is
steered by coverage (atheris would see the Python above the decoders, not the C that does the work).
"""
