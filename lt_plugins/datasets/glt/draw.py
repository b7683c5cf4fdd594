"""Seeded draws of images without replacement, in groups that stay together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np

from lt_plugins.errors import UserInputError


def hash_order(keys: Iterable[str], seed: int, purpose: str) -> list[int]:
    """Random order of images that follows from their names alone, whatever order, place or machine they are read in.

    Args:
        keys (Iterable[str]): Names of ``N`` images, all different.
        seed (int): Seed.
        purpose (str): What the order is for; each purpose has another one.

    Returns:
        list[int]: Their positions, a permutation of ``0..N-1``: by the hash of seed, purpose and name.
    """
    names = [f"{seed}:{purpose}:{key}".encode("utf-8", "surrogateescape") for key in keys]
    digests = [blake2b(name, digest_size=16).digest() for name in names]
    return sorted(range(len(digests)), key=lambda index: (digests[index], names[index]))


class GroupDraw:
    """Disjoint draws of images, each seeded, without replacement, from what the draws before it have left.

    The unit of every draw is a group: the copies of an image, or whatever must not be torn apart. A draw goes through
    the groups in a random order and takes each one whose images all fit into what is still wanted; without groups this
    is a simple random sample of each bin.

    Args:
        keys (Sequence[str]): Names of the ``N`` images, all different.
        groups (Sequence[int] | None): Group of each image, ``(N,)``; None if each image is one of its own.
        seed (int): Seed.

    Raises:
        UserInputError: If two images have the same name, or there is not one group an image.
    """

    def __init__(self, keys: Sequence[str], groups: Sequence[int] | np.ndarray | None, seed: int) -> None:
        if groups is not None and len(groups) != len(keys):
            raise UserInputError(f"{len(groups)} groups are given for {len(keys)} images; give one for each.")
        if repeated := [key for key, count in Counter(keys).items() if count > 1]:
            raise UserInputError(f"image {min(repeated)!r} is listed twice; list each image once.")
        self.seed = seed
        self.left = np.ones(len(keys), dtype=bool)
        """Which images no draw has taken, ``(N,)`` bool."""
        members: dict[int, list[int]] = {}
        for index in sorted(range(len(keys)), key=keys.__getitem__):
            members.setdefault(index if groups is None else int(groups[index]), []).append(index)
        self._members = [*members.values()]
        self._names = [keys[images[0]] for images in self._members]

    def draw(self, purpose: str, bins: np.ndarray, wanted: np.ndarray, *, keep: bool = False) -> np.ndarray:
        """Draw images of several bins.

        Args:
            purpose (str): What they are for; each purpose has another order.
            bins (np.ndarray): Bin of each image, ``(N,)`` integers.
            wanted (np.ndarray): How many images of each bin are wanted, ``(K,)`` integers.
            keep (bool): Whether what is drawn is there for later draws too. Defaults to False.

        Returns:
            np.ndarray: Their indices in ascending order. Fewer than wanted if a bin has no more, or what it has stays
            together with images that are not wanted.
        """
        room = [int(number) for number in wanted]
        missing, drawn = sum(room), []
        bin_of, left = bins.tolist(), self.left.tolist()
        for position in hash_order(self._names, self.seed, purpose):
            images = self._members[position]
            if not left[images[0]] or room[bin_of[images[0]]] == 0:
                continue
            if len(images) > 1:
                counts = Counter(bin_of[image] for image in images)
                if any(room[place] < count for place, count in counts.items()):
                    continue
            for image in images:
                room[bin_of[image]] -= 1
            missing -= len(images)
            drawn += images
            if missing == 0:
                break
        chosen = np.array(sorted(drawn), dtype=np.int64)
        if not keep:
            self.left[chosen] = False
        return chosen
