"""Metrics of long-tailed recognition as functions of tensors or arrays: accuracies and calibration, in percent.

The metric classes call them; they need torch and numpy alone, so that any training loop can report the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import ClassDistribution
from lt_plugins.models.structures.class_distribution import FEW_THRESHOLD, MANY_THRESHOLD

Values: TypeAlias = Tensor | ArrayLike
GROUPS = ("many", "medium", "few")


def shot_accuracy(
    scores: Values,
    labels: Values,
    counts: Tensor | Sequence[int] | None = None,
    topk: int | Sequence[int] = (1,),
    many_threshold: int = MANY_THRESHOLD,
    few_threshold: int = FEW_THRESHOLD,
) -> dict[str, float]:
    """Accuracy overall and over many-, medium- and few-shot classes, in percent.

    Args:
        scores (Tensor | ArrayLike): Logits or probabilities, shape ``(N, C)``.
        labels (Tensor | ArrayLike): True classes, int ``(N,)``.
        counts (Tensor | Sequence[int], optional): Training images of each class, shape ``(C,)``. Without them the
            groups are left out.
        topk (int | Sequence[int]): The ``k`` of the overall accuracies. Defaults to ``(1,)``.
        many_threshold (int): Classes with more training images than this are many-shot. Defaults to 100.
        few_threshold (int): Classes with fewer training images than this are few-shot; all others are medium-shot.
            Defaults to 20.

    Returns:
        dict[str, float]: ``accuracy_top{k}`` (share of all samples) and the means of :func:`mean_class_accuracies`:
        ``many``, ``medium``, ``few``, ``balanced``, ``geometric_mean``, ``harmonic_mean``.

    Raises:
        UserInputError: If shapes, labels, ``topk``, counts or thresholds do not fit, or a score is not finite.

    Examples:
        >>> shot_accuracy(logits, labels, counts=torch.bincount(train_labels))["few"]
    """
    scores, labels = torch.as_tensor(scores), torch.as_tensor(labels)
    labels = labels.to(scores.device)
    ranks = label_ranks(scores, labels)
    if not bool(scores.isfinite().all()):
        raise UserInputError("scores hold values that are not finite; the model has diverged.")
    num_classes = scores.shape[1]
    groups = None
    if counts is not None:
        distribution = ClassDistribution(num_classes, many_threshold, few_threshold)
        distribution.set_counts(counts)
        groups = np.array(distribution.groups)
    accuracy = class_accuracy(ranks == 0, labels, num_classes)
    return {**topk_accuracy(ranks, topk, num_classes), **mean_class_accuracies(accuracy, groups)}


def label_ranks(scores: Tensor, labels: Tensor) -> Tensor:
    """Rank of the true class among the classes, sorted by falling score; of equal scores the first class comes first.

    Args:
        scores (Tensor): Logits or probabilities, shape ``(N, C)``.
        labels (Tensor): True classes, int64 ``(N,)``, on the same device.

    Returns:
        Tensor: From 0, which is a hit, to ``C - 1``, int64 ``(N,)``; the sample is a top-k hit if it is below ``k``.

    Raises:
        UserInputError: If the shapes do not fit or a label is not in ``[0, C)``.
    """
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or labels.is_floating_point():
        raise UserInputError(
            f"scores of shape {tuple(scores.shape)} and labels of shape {tuple(labels.shape)} ({labels.dtype}) must be "
            "(N, C) and (N,), one integer a sample."
        )
    num_classes = scores.shape[1]
    if bool(((labels < 0) | (labels >= num_classes)).any()):
        raise UserInputError(
            f"the test set has labels {int(labels.min())}..{int(labels.max())}, but the model scores {num_classes} "
            f"classes (0..{num_classes - 1}); set the head's num_classes to the number of classes of the data."
        )
    true_score = scores.gather(1, labels[:, None].long())  # (N, 1)
    earlier = torch.arange(num_classes, device=scores.device) < labels[:, None]  # (N, C)
    return ((scores > true_score) | ((scores == true_score) & earlier)).sum(dim=1)


def topk_accuracy(ranks: Values, topk: int | Sequence[int], num_classes: int) -> dict[str, float]:
    """Share of the samples whose true class is among the ``k`` classes with the highest scores, in percent.

    Args:
        ranks (Tensor | ArrayLike): Ranks of the true classes as :func:`label_ranks` gives them, int ``(N,)``.
        topk (int | Sequence[int]): The ``k``, one or several.
        num_classes (int): Number of classes ``C``.

    Returns:
        dict[str, float]: ``accuracy_top{k}`` for each ``k``.

    Raises:
        UserInputError: If there is no sample or no ``k``, or one is not in ``[1, C]``.
    """
    topk = (topk,) if isinstance(topk, int) else tuple(topk)
    if not topk or min(topk) < 1:
        raise UserInputError(f"topk={topk} must hold numbers of at least 1, for example (1, 5).")
    if max(topk) > num_classes:
        raise UserInputError(f"topk={topk} exceeds the {num_classes} classes that the model scores; lower it.")
    ranks = as_array(ranks)
    if not ranks.size:
        raise UserInputError("accuracies need at least one sample.")
    return {f"accuracy_top{k}": float(100 * (ranks < k).mean()) for k in topk}


def class_accuracy(correct: Values, labels: Values, num_classes: int) -> NDArray[np.float64]:
    """Accuracy on the samples of each class (its recall), in percent.

    Args:
        correct (Tensor | ArrayLike): Whether each prediction is right, bool ``(N,)``.
        labels (Tensor | ArrayLike): True classes, int ``(N,)``.
        num_classes (int): Number of classes ``C``.

    Returns:
        NDArray: Shape ``(C,)``, float64; NaN for a class without samples.
    """
    correct, labels = as_array(correct), as_array(labels)
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN of a class without samples
        return 100 * np.bincount(labels, correct, num_classes) / np.bincount(labels, minlength=num_classes)


def mean_class_accuracies(
    accuracy: ArrayLike, groups: NDArray[np.str_] | None = None, zero_accuracy: float = 0.1
) -> dict[str, float]:
    """Means of the per-class accuracies, in percent; classes without samples are left out.

    ``balanced`` is the arithmetic mean over all classes; ``many``, ``medium`` and ``few`` over a group (left out where
    it has no tested class), following Liu et al., "Large-Scale Long-Tailed Recognition in an Open World" (CVPR 2019);
    ``geometric_mean`` and ``harmonic_mean`` over all classes, which a single bad class pulls down (Du and Wu, "No One
    Left Behind", CVPR 2023).

    Args:
        accuracy (ArrayLike): Accuracy on each class in percent, shape ``(C,)``; NaN for a class without samples.
        groups (NDArray, optional): ``'many'``, ``'medium'`` or ``'few'`` for each class, shape ``(C,)``.
        zero_accuracy (float): Floor of the accuracies in the geometric and harmonic means, in percent; without one, a
            single class without a hit would make both 0. Defaults to 0.1.
    """
    accuracy = np.asarray(accuracy, dtype=np.float64)
    tested = ~np.isnan(accuracy)
    means = {}
    if groups is not None:
        for group in GROUPS:
            members = tested & (groups == group)
            if members.any():
                means[group] = float(accuracy[members].mean())
    floored = np.maximum(accuracy[tested], zero_accuracy)
    means["balanced"] = float(accuracy[tested].mean())
    means["geometric_mean"] = float(np.exp(np.log(floored).mean()))
    means["harmonic_mean"] = float(1 / (1 / floored).mean())
    return means


@dataclass(frozen=True)
class ReliabilityBins:
    """``M`` equal-width bins of confidence, ``((m - 1) / M, m / M]``; 0 belongs to the first.

    Args:
        count (NDArray): Samples in each bin, ``(M,)`` int64.
        accuracy (NDArray): Share of correct ones, ``(M,)`` in [0, 1]; NaN for an empty bin.
        confidence (NDArray): Mean confidence, ``(M,)`` in [0, 1]; NaN for an empty bin.
    """

    count: NDArray[np.int64]
    accuracy: NDArray[np.float64]
    confidence: NDArray[np.float64]

    @property
    def expected_calibration_error(self) -> float:
        """Mean over the samples of their bin's ``|accuracy - confidence|``, in percent."""
        filled = self.count > 0
        gaps = np.abs(self.accuracy - self.confidence)[filled]
        return float(100 * np.average(gaps, weights=self.count[filled]))


def reliability_bins(confidence: Values, correct: Values, num_bins: int = 15) -> ReliabilityBins:
    """Bins of a reliability diagram: sort predictions by confidence.

    Args:
        confidence (Tensor | ArrayLike): Probability of the predicted class, shape ``(N,)``.
        correct (Tensor | ArrayLike): Whether the prediction is right, bool ``(N,)``.
        num_bins (int): Number of bins ``M``. Defaults to 15.

    Raises:
        UserInputError: If there are no samples, ``num_bins`` is not positive, a confidence is not in [0, 1] or a hit
            not 0 or 1.
    """
    confidence, hits = as_array(confidence).astype(np.float64), as_array(correct).astype(np.float64)
    if num_bins < 1:
        raise UserInputError(f"num_bins={num_bins} must be at least 1; the field uses 15.")
    if confidence.size == 0 or confidence.shape != hits.shape:
        raise UserInputError(
            f"calibration needs as many confidences {confidence.shape} as hits {hits.shape}, not none."
        )
    # Softmax in half precision may exceed 1 by a rounding error.
    if confidence.min() < 0 or confidence.max() > 1 + 1e-3 or np.isnan(confidence).any():
        raise UserInputError(
            f"confidences {confidence.min():.3g}..{confidence.max():.3g} are not probabilities; "
            "use a head whose pred_score holds those of a softmax or sigmoid."
        )
    if not np.isin(hits, (0, 1)).all():
        raise UserInputError("hits must be true or false for every prediction.")
    inner_edges = np.linspace(0, 1, num_bins + 1)[1:-1]
    index = np.searchsorted(inner_edges, confidence, side="left")  # an edge belongs to the bin below it
    count = np.bincount(index, minlength=num_bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN of an empty bin
        accuracy = np.bincount(index, hits, num_bins) / count
        mean_confidence = np.bincount(index, confidence, num_bins) / count
    return ReliabilityBins(count, accuracy, mean_confidence)


def expected_calibration_error(confidence: Values, correct: Values, num_bins: int = 15) -> float:
    """Expected calibration error (ECE) in percent: ``sum_m n_m / N |accuracy_m - confidence_m|``.

    Source: Eq. 3 of Guo et al., "On Calibration of Modern Neural Networks" (ICML
    2017), with the highest probability as confidence.

    Args:
        confidence (Tensor | ArrayLike): Probability of the predicted class, shape ``(N,)``.
        correct (Tensor | ArrayLike): Whether the prediction is right, bool ``(N,)``.
        num_bins (int): Number of equal-width bins. Defaults to 15.

    Raises:
        UserInputError: As :func:`reliability_bins`.
    """
    return reliability_bins(confidence, correct, num_bins).expected_calibration_error


def as_array(values: Values) -> NDArray:
    """Values of a tensor on any device, or of what numpy takes, as an array.

    Args:
        values (Tensor | ArrayLike): The values; floats of a tensor become float64.
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = values.double() if values.is_floating_point() else values
    return np.asarray(values)
