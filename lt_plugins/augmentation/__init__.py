"""Transforms of whole batches of images on any device, with the same pixels on each."""
