"""What a classifier does to groups of faces: measured, compared over seeds, and what a threshold costs."""
