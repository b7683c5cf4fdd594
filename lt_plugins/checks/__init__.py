"""Checks before the first step: config, components, sizes, images, metrics."""
