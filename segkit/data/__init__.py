"""Disk -> batch."""
