"""Mixtures of the images of a batch that know the class sizes: Remix and CMO."""

from .cmo import CMO
from .remix import Remix, remix_shares

__all__ = [
    "CMO",
    "Remix",
    "remix_shares",
]
