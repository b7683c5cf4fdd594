"""AutoAugment and RandAugment: which operations an image takes, and in which order."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch
from scipy.stats import chisquare
from torch import Tensor

from lt_plugins.augmentation.draws import Draws
from lt_plugins.augmentation.policies import AutoAugment, RandAugment


class Append:
    """Writes a digit behind those that the value of an image already has."""

    def __init__(self, digit: int) -> None:
        self.digit = digit

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        return images * 4 + self.digit


def histories(transform: AutoAugment | RandAugment, count: int = 6000) -> Counter[str]:
    """How often each sequence of digits was written."""
    values = transform(torch.ones(count, 3, 1, 1, dtype=torch.uint8), Draws.of_images(0, 0, 0, range(count)))
    return Counter(np.base_repr(value, 4)[1:] for value in values[:, 0, 0, 0].tolist())


def test_auto_augment_runs_a_sub_policy_in_order() -> None:
    one, two, three = Append(1), Append(2), Append(3)
    counts = histories(AutoAugment([[one, two], [two, one], [three], [one, two, three]]))
    assert set(counts) == {"12", "21", "3", "123"}
    assert chisquare(list(counts.values())).pvalue > 1e-4


def test_rand_augment_draws_with_replacement() -> None:
    counts = histories(RandAugment([Append(1), Append(2), Append(3)], num_policies=2))
    assert set(counts) == {a + b for a in "123" for b in "123"}
    assert chisquare(list(counts.values())).pvalue > 1e-4
    assert set(histories(RandAugment([Append(1), Append(2)], num_policies=1))) == {"1", "2"}
