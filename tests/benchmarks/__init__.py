"""`make bench`: what the product takes, beside the plain way to do the same, in one run on one machine."""
