"""How the strength of an operation is drawn, as by mmpretrain's ``BaseAugTransform``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from lt_plugins.augmentation.draws import Draws


@dataclass(frozen=True)
class Magnitude:
    """Rule for the magnitude of an operation: a level, mapped to a range, with a sign.

    Args:
        low (float): Magnitude at level 0.
        high (float): Magnitude at ``total_level``.
        level (float): Mean of the drawn level, or with an infinite ``level_std`` its upper end. Defaults to 10.
        level_std (float): Standard deviation of the level, which is clipped to 0 and ``total_level``; infinite for a
            level that is uniform between 0 and ``level``. Defaults to 0.
        total_level (float): Defaults to 10.
        negative_prob (float): Probability that the sign is turned. Defaults to 0.
    """

    low: float
    high: float
    level: float = 10.0
    level_std: float = 0.0
    total_level: float = 10.0
    negative_prob: float = 0.0

    @classmethod
    def fixed(cls, value: float, negative_prob: float = 0.0) -> Magnitude:
        """Give the rule of one magnitude.

        Args:
            value (float): The magnitude.
            negative_prob (float): Probability that the sign is turned. Defaults to 0.
        """
        return cls(value, value, negative_prob=negative_prob)

    def bounds(self) -> tuple[float, float]:
        """Give the smallest and the largest magnitude, before the sign is drawn."""
        if self.level_std == 0:
            levels = [self.level]
        else:
            levels = [0.0, self.level if math.isinf(self.level_std) else self.total_level]
        ends = [level / self.total_level * (self.high - self.low) + self.low for level in levels]
        return min(ends), max(ends)


class MagnitudeDrawer:
    """Draws a magnitude for each image by one of several rules.

    Args:
        rules (Sequence[Magnitude]): The rules, K of them.
    """

    def __init__(self, rules: Sequence[Magnitude]) -> None:
        self.table = np.array([astuple(rule) for rule in rules], dtype=np.float64).reshape(-1, 6)
        level_std = self.table[:, 3]
        # What is drawn follows from the rules alone, so that the numbers of an image do not depend on the others.
        self.any_uniform = bool(np.isinf(level_std).any())
        self.any_normal = bool((np.isfinite(level_std) & (level_std > 0)).any())
        self.any_sign = bool((self.table[:, 5] > 0).any())

    def draw(self, which: NDArray[np.int64], draws: Draws) -> NDArray[np.float64]:
        """Draw the magnitudes.

        Args:
            which (NDArray): The rule of each image, ``(B,)``.
            draws (Draws): Random numbers of each image.

        Returns:
            NDArray: Shape ``(B,)``.
        """
        low, high, level, level_std, total_level, negative_prob = self.table[which].T
        uniform = np.isinf(level_std)
        if self.any_normal:
            std = np.where(uniform, 0, level_std)
            level = np.where(std > 0, np.clip(level + std * draws.normal(), 0, total_level), level)
        if self.any_uniform:
            level = np.where(uniform, level * draws.uniform(), level)
        magnitudes = level / total_level * (high - low) + low
        return np.where(draws.uniform() < negative_prob, -magnitudes, magnitudes) if self.any_sign else magnitudes
