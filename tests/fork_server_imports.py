"""Imported in the fork server of the tests (tests/fork_server.py), before it forks."""

from __future__ import annotations

import gc

import lt_plugins.plugins  # noqa: F401

# mmengine collects garbage for each dataset that it builds, which takes most of a second with torch's modules to look
# through, and copies each page of them in a forked process.
gc.collect()
gc.freeze()
