"""Post-hoc logit adjustment."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from lt_plugins.posthoc.affine_classifier import AffineClassifier, check_sizes
from lt_plugins.posthoc.prior import class_priors


def logit_adjustment(
    classifier: AffineClassifier, counts: Tensor | Sequence[int], tau: float = 1.0
) -> AffineClassifier:
    r"""Subtract the logarithm of the class frequencies from the logits: :math:`b_c \leftarrow b_c - \tau \log \pi_c`.

    With ``tau=1`` the classifier answers for classes of equal frequency, if it is calibrated and answered for those of
    the training set before; one that was trained on balanced batches or by a loss that adjusts logits did not. Source:
    Menon et al., "Long-Tail Learning via Logit Adjustment" (ICLR 2021), Eq. 9.

    Args:
        classifier (AffineClassifier): The classifier.
        counts (Tensor | Sequence[int]): Training images of each class, shape ``(C,)``; an empty class counts as the
            rarest one.
        tau (float): Strength :math:`\tau`; 0 changes nothing. Defaults to 1.0.

    Raises:
        UserInputError: If there are not as many counts as classes.
    """
    log_priors = class_priors(counts).log()
    check_sizes(classifier, counts=log_priors)
    return AffineClassifier(classifier.weight, classifier.bias - (tau * log_priors).to(classifier.bias))
