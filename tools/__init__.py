"""Programs for those who work on the service: benchmarks, fuzzing, files that are generated. Never imported by it."""
