"""What a classifier does to groups of faces, what carries it, what stands in, and what would change it."""
