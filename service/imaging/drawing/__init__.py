"""The placeholders, drawn at the size asked for."""
