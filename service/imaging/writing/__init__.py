"""From pixels to files, by format."""
