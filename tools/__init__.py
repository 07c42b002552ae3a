"""Programs for contributors: benchmarks, fuzzing, and generated files. The service does not import them."""
