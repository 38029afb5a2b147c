"""Pieces of a page that several pages share, or that are too long for one."""
