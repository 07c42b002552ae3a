"""Makers of pictures with known pixels, for tests, fuzzing and benchmarks. This package does not import tests."""
