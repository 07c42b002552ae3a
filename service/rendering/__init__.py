"""The adapter of the port `Renderer`: a pool of render processes."""
