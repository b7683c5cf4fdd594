"""Random numbers of an augmentation that follow from (seed, epoch, view, index) of an image and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

# SplitMix64: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (OOPSLA 2014), figure 17.
_GAMMA = 0x9E3779B97F4A7C15
_WORD = 1 << 64


class Draws:
    """Draws: an own stream of random numbers for each image of a batch.

    The streams are those of SplitMix64, computed for all images at once. The numbers of an image do not depend on the
    images beside it: not on batch, worker or process, nor on what was drawn before.

    Args:
        keys (NDArray): The seed of each image, uint64 ``(B,)``; of :meth:`of_images` or :meth:`fork`.

    Examples:
        >>> draws = Draws.of_images(seed=0, epoch=3, view=0, indices=[7, 4])
        >>> draws.uniform(), draws.uniform()  # two numbers in [0, 1) for each of both images
        >>> draws.take([1]).uniform()         # for image 4 alone
    """

    def __init__(self, keys: NDArray[np.uint64]) -> None:
        self.keys = keys
        self._count = 0

    @classmethod
    def of_images(
        cls, seed: int, epoch: int, view: int, indices: ArrayLike, occurrences: ArrayLike | None = None
    ) -> Draws:
        """Start the streams of images.

        Args:
            seed (int): Seed of the run.
            epoch (int): The epoch, from 0.
            view (int): Number of the view, from 0.
            indices (ArrayLike): Positions of the images in their dataset, ``(B,)``.
            occurrences (ArrayLike | None): How often each image has come before in this epoch, ``(B,)``, as samplers
                that balance classes repeat images. Defaults to never.
        """
        keys = np.zeros(np.shape(indices), dtype=np.uint64)
        for number in (seed, epoch, view, 0 if occurrences is None else occurrences, indices):
            keys = _mix(keys + np.asarray(number, dtype=np.int64).astype(np.uint64) + np.uint64(_GAMMA))
        return cls(keys)

    def __len__(self) -> int:
        return len(self.keys)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> NDArray[np.float64]:
        """Draw the next number of each stream, uniform in ``[low, high)``.

        Args:
            low (float): Smallest value. Defaults to 0.
            high (float): Upper end. Defaults to 1.

        Returns:
            NDArray: Shape ``(B,)``, with 53 random bits.
        """
        return low + (high - low) * ((self._next() >> np.uint64(11)) * 2.0**-53)

    def integers(self, low: int, high: int) -> NDArray[np.int64]:
        """Draw a whole number of each stream, uniform in ``low, ..., high - 1``.

        Args:
            low (int): Smallest value.
            high (int): One above the largest value.

        Returns:
            NDArray: Shape ``(B,)``.
        """
        return low + (self.uniform() * (high - low)).astype(np.int64)

    def happens(self, prob: float) -> NDArray[np.bool_]:
        """Draw for each image whether something of this probability happens.

        Args:
            prob (float): Probability, in ``[0, 1]``.

        Returns:
            NDArray: Shape ``(B,)``.
        """
        return self.uniform() < prob

    def normal(self, mean: float = 0.0, std: float = 1.0) -> NDArray[np.float64]:
        """Draw a number of each stream from a normal distribution, by two uniform ones (Box and Muller, 1958).

        Args:
            mean (float): Mean. Defaults to 0.
            std (float): Standard deviation. Defaults to 1.

        Returns:
            NDArray: Shape ``(B,)``.
        """
        radius = np.sqrt(-2 * np.log1p(-self.uniform()))
        return mean + std * radius * np.cos(2 * np.pi * self.uniform())

    def take(self, positions: Sequence[int] | NDArray[np.int64]) -> Draws:
        """Start streams of their own for some of the images, independent of these and of other calls.

        Args:
            positions (Sequence[int] | NDArray): Which of the images, ``(M,)``.
        """
        return self.fork()._select(np.asarray(positions, dtype=np.int64))

    def fork(self) -> Draws:
        """Start streams of their own for all images, independent of these and of other calls."""
        return Draws(self._next())

    def _select(self, positions: NDArray[np.int64]) -> Draws:
        return Draws(self.keys[positions])

    def _next(self) -> NDArray[np.uint64]:
        self._count += 1
        return _mix(self.keys + np.uint64(self._count * _GAMMA % _WORD))


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64 bits, so that neighbouring states give unrelated numbers."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
