"""Img2Tab Studio: a photo becomes a table row of visual concepts, and a classifier one can question."""

__version__ = "0.1.0"
