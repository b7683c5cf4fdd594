"""How many images each class keeps in a long-tailed set."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from lt_plugins.errors import UserInputError

Profile = Literal["exp", "step", "pareto"]


def class_profile(
    num_classes: int,
    max_count: int,
    imbalance_factor: float,
    profile: Profile = "exp",
    pareto_alpha: float = 6.0,
    reverse: bool = False,
) -> np.ndarray:
    r"""Class counts of a long-tailed profile; class 0 is the largest, or the smallest of a reversed one.

    With :math:`\mu = 1/\text{imbalance\_factor}` and classes :math:`k = 0..C-1`, all truncated to integers:

    * ``exp``: :math:`n_k = n_{max}\,\mu^{k/(C-1)}`, the field's CIFAR-LT (LDAM, arXiv:1906.07413, released generator).
    * ``step``: :math:`n_{max}` for the first half of the classes (the smaller half where C is odd),
      :math:`\mu\,n_{max}` for the others (same source).
    * ``pareto``: :math:`n_k = n_{max}\bigl(\mu + (1-\mu)\,\frac{x_k - x_{C-1}}{x_0 - x_{C-1}}\bigr)`, where
      :math:`x_k = (\frac{k+1}{C+1})^{-1/\alpha} - 1` are quantiles of the Pareto (Lomax) distribution. ImageNet-LT
      follows power value 6 (OLTR, arXiv:1904.05160): C=1000, 1280 images and factor 256 give 404/456/140
      many/medium/few classes, the real list has 385/479/136.

    Args:
        num_classes: Number of classes ``C``.
        max_count: Images of the largest class.
        imbalance_factor: Largest over smallest class count, at least 1.
        profile: ``'exp'``, ``'step'`` or ``'pareto'``.
        pareto_alpha: Power value of ``'pareto'``; larger is nearer to exponential.
        reverse: Whether the counts come in the opposite order of classes. Defaults to False.

    Returns:
        Counts ``(C,)``, int64.

    Raises:
        UserInputError: If an argument is out of its range.
    """
    if imbalance_factor < 1:
        raise UserInputError(
            f"imbalance_factor={imbalance_factor} must be at least 1: it is largest over smallest class count; "
            "give 100 where a paper's code says 0.01"
        )
    if max_count < 1:
        raise UserInputError(f"max_count={max_count} must be at least 1: it is the size of the largest class")
    # Scalar powers of mu, as the released generator takes them: any other order of operations can round differently.
    mu = 1 / imbalance_factor
    rank = np.arange(num_classes)
    if profile == "exp":
        share = np.array([mu ** (k / max(num_classes - 1, 1)) for k in range(num_classes)])
    elif profile == "step":
        share = np.where(rank < num_classes // 2, 1.0, mu)
    elif profile == "pareto":
        if pareto_alpha <= 0:
            raise UserInputError(f"pareto_alpha={pareto_alpha} must be positive; ImageNet-LT has 6")
        quantile = ((rank + 1) / (num_classes + 1)) ** (-1 / pareto_alpha)
        fall = (quantile - quantile[-1]) / max(quantile[0] - quantile[-1], np.finfo(float).tiny)
        share = mu + (1 - mu) * fall
    else:
        raise UserInputError(f"unknown profile {profile!r}; choose one of {', '.join(get_args(Profile))}")
    counts = (max_count * share).astype(np.int64)
    return counts[::-1] if reverse else counts
