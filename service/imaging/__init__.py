"""Pictures as bytes: read, measured, rendered and drawn. Knows no HTTP, no store and no settings; Pillow alone."""
