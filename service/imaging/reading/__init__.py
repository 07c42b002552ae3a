"""From bytes to decoded pictures and frames, by the few readers of Pillow that are let in."""
