"""What bytes tell before anything is decoded, and what they may promise. Never imports Pillow."""
