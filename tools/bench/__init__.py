"""Benchmarks, run by hand: `python -m tools.bench --help`. Ratios hold; absolute figures depend on the machine."""
