"""Runs: from a command line to a work dir, and back to a table."""
