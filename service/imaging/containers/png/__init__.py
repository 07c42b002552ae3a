"""The chunks of a PNG (PNG specification, third edition). No module here imports Pillow."""
