"""A generator with its encoder: found by name, opened, drawn with, refined with, and how good an inversion is."""
