"""Datasets and functions that read labels, classes and images from any of them."""
