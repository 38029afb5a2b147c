"""The pages, one file each: a script from top to bottom."""
