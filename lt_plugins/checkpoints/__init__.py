"""Checkpoint files: reading, checking, fitting and exporting."""
