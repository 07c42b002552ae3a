"""What `compare` measures of each program, and how it shows that."""
