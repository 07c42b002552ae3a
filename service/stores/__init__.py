"""Adapters of the ports `OriginalStore` and `WritableStore`: where originals are stored."""
