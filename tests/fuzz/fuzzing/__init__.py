"""Damaged files without end, each of which can be made again from its reader and its number."""
