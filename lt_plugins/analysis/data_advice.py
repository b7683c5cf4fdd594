"""Data advice: what the sizes of the classes mean for the choice of a recipe."""

from __future__ import annotations

import shlex

import numpy as np
from numpy.typing import NDArray

_BALANCED = 2.0  # imbalance factor below which there is no long tail
_MODERATE = 10.0
_FEW = 20
_FROM_SCRATCH = 100_000  # images from which on the published recipes train


def advise(counts: NDArray[np.int64], source: str) -> str:
    """Say which recipe fits images of one's own, in one paragraph.

    Args:
        counts (NDArray): Training images of each class, ``(C,)``.
        source (str): The images, as ``--data`` takes them.
    """
    present = np.sort(counts[counts > 0])
    factor = present[-1] / present[0]
    total, rare = int(present.sum()), int((present < _FEW).sum())
    train = f"python tools/train.py configs/finetune/lite0.py --data {shlex.quote(source)}"
    if factor < _BALANCED:
        what = f"The classes are nearly balanced (factor {factor:.2g}): methods for long tails have little to correct."
    elif factor < _MODERATE:
        what = (
            f"The imbalance is moderate (factor {factor:.2g}): cross-entropy loses some points on the rarest classes, "
            "and logit adjustment, which every recipe of configs/finetune has, wins most of them back."
        )
    else:
        what = (
            f"The imbalance is strong (factor {factor:,.0f}): cross-entropy would favour the largest classes; logit "
            "adjustment, which every recipe of configs/finetune has, answers for all classes alike."
        )
    if rare:
        verb = "class has" if rare == 1 else "classes have"
        what += (
            f" {rare:,} {verb} fewer than {_FEW} images, too few to learn features from: a pretrained backbone "
            "decides, more than the loss."
        )
    if total < _FROM_SCRATCH:
        what += f" With {total:,} training images start from a pretrained backbone: {train}"
    else:
        what += (
            f" {total:,} training images carry a training from scratch (configs/balanced_softmax, configs/paco; days "
            f"of a GPU); start from a pretrained backbone all the same, it is the baseline to beat: {train}"
        )
    return (
        f"{what}. If use has the class shares of these images, or shares that you know, shift the trained model by "
        "tools/posthoc.py. Why, and the other methods: docs/choosing_a_method.md."
    )
