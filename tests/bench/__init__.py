"""Benchmarks, run by hand: `python -m tests.bench --help`. Ratios hold; absolute figures depend on the machine."""
