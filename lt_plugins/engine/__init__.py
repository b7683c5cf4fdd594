"""Hooks, clusterings and feature passes of a training run."""
