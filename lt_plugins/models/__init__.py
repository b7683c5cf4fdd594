"""Backbones, necks, classifiers, heads and losses."""
