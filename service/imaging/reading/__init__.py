"""Decoding of pictures and frames with the readers of Pillow that are listed in `readers`."""
