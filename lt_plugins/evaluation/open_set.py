"""Open-set recognition: rejecting images of unknown classes by their highest probability."""

from __future__ import annotations

from torch import Tensor

from lt_plugins.errors import UserInputError

UNKNOWN = -1
"""Label of an image of no known class."""


def open_set_f_measure(scores: Tensor, labels: Tensor, threshold: float = 0.1) -> dict[str, float]:
    """Open-set F-measure of a classifier that rejects images whose highest probability is below a threshold.

    A known image that is accepted and right is a true positive, any other known image a false positive, and an unknown
    image that is accepted a false negative; the F-measure is the harmonic mean of the precision TP / (TP + FP), which
    is the accuracy on known images with rejection, and of the recall TP / (TP + FN).

    Source: Liu et al., "Large-Scale Long-Tailed Recognition in an Open World" (CVPR 2019), as the released code counts
    since January 2020; the numbers of the paper are of an earlier count, and "a little bit higher".

    Args:
        scores (Tensor): Probabilities of known and unknown images, shape ``(N, C)``.
        labels (Tensor): True classes, int64 ``(N,)``, -1 for an image of no known class.
        threshold (float): Images whose highest probability is below are rejected. Defaults to 0.1.

    Returns:
        dict[str, float]: In percent, ``f_measure``, ``precision``, ``recall``, and ``rejected``, the share of the
        unknown images that are rejected; 0 where a ratio has no images.

    Raises:
        UserInputError: If shapes, labels or scores do not fit, or there are no known images.

    Examples:
        >>> open_set_f_measure(torch.tensor([[0.9, 0.1], [0.5, 0.5]]), torch.tensor([0, -1]), threshold=0.6)
        {'f_measure': 100.0, 'precision': 100.0, 'recall': 100.0, 'rejected': 100.0}
    """
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise UserInputError(f"scores {tuple(scores.shape)} and labels {tuple(labels.shape)} must be (N, C) and (N,).")
    known = labels != UNKNOWN
    if not bool(known.any()):
        raise UserInputError(f"all {len(labels)} labels are -1, of no known class; give known images too.")
    if not 0 <= int(labels[known].min()) <= int(labels.max()) < scores.shape[1]:
        raise UserInputError(
            f"labels {int(labels.min())}..{int(labels.max())} must be -1 or in 0..{scores.shape[1] - 1}."
        )
    if not bool(((scores >= 0) & (scores <= 1)).all()):
        raise UserInputError("scores of an open-set test must be probabilities; take a softmax of logits first.")
    highest, predicted = scores.max(dim=1)
    accepted = highest >= threshold
    true_positive = int((known & accepted & (predicted == labels)).sum())
    false_positive = int(known.sum()) - true_positive
    false_negative = int((~known & accepted).sum())
    unknown = int((~known).sum())
    return {
        "f_measure": _percent(2 * true_positive, 2 * true_positive + false_positive + false_negative),
        "precision": _percent(true_positive, true_positive + false_positive),
        "recall": _percent(true_positive, true_positive + false_negative),
        "rejected": _percent(unknown - false_negative, unknown),
    }


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0
