"""The chunks of a PNG (PNG specification, third edition), from the bytes alone. No module here imports Pillow."""
