"""Benchmarks: `python -m tools.bench --help`. Ratios hold on every machine; absolute figures depend on it."""
