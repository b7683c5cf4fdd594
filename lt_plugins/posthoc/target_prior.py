"""Change of the class prior that a classifier answers for."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from lt_plugins.posthoc.affine_classifier import AffineClassifier, check_sizes
from lt_plugins.posthoc.prior import TINY, check_prior


def target_prior(
    classifier: AffineClassifier, source: Tensor | Sequence[float], target: Tensor | Sequence[float]
) -> AffineClassifier:
    r"""Move a classifier from one class prior to another: :math:`b_c \leftarrow b_c + \log q_c - \log \pi_c`.

    Bayes' rule for images of which only the class frequencies have changed. Source: Saerens et al., "Adjusting the
    Outputs of a Classifier to New a Priori Probabilities" (Neural Computation 2002), Eq. 2.4.

    Args:
        classifier (AffineClassifier): The classifier, calibrated under ``source``.
        source (Tensor | Sequence[float]): Prior :math:`\pi` that it answers for, shape ``(C,)``: the frequencies of the
            training set after cross-entropy, a uniform one after logit adjustment or on balanced batches.
        target (Tensor | Sequence[float]): Prior :math:`q` that it shall answer for, shape ``(C,)``. Shares below 1e-12
            count as that, so that biases stay finite.

    Raises:
        UserInputError: If a prior does not fit the classes or is none.
    """
    before, after = check_prior(source, "source"), check_prior(target, "target")
    check_sizes(classifier, source=before, target=after)
    change = after.clamp(min=TINY).log() - before.clamp(min=TINY).log()
    return AffineClassifier(classifier.weight, classifier.bias + change.to(classifier.bias))
