"""The sandbox of a render process: what a decoder may still do that a picture has taken over."""
