"""The use cases: reading and writing the pictures of contacts. This package imports no adapter of its ports."""
