"""Who is asking, and what they may do. On ports alone: knows no HTTP, no file and no server."""
