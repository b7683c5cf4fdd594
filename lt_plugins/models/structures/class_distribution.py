"""How many training images each class has, as a buffer that travels with the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.structures.data_sized_module import DataSizedModule

MANY_THRESHOLD = 100
FEW_THRESHOLD = 20


class ClassDistribution(DataSizedModule):
    """Class counts of the training set and what follows from them.

    The counts are a buffer of whatever module owns the instance, so they are saved in the checkpoint and testing needs
    no training data. They are of distinct images: wrappers and samplers that repeat some do not change them, nor the
    priors and margins that follow from them. Until :meth:`set_counts` is called (``ClassDistributionHook`` does so
    before training, a checkpoint before testing) :attr:`is_set` is false, and what needs the counts raises: a loss
    without its prior would silently be another one.

    Args:
        num_classes (int, optional): Number of classes ``C``, to which counts must conform. By default the buffer is
            empty until counts are set or loaded, and has their length.
        many_threshold (int): Classes with more images than this are *many-shot*. Defaults to 100.
        few_threshold (int): Classes with fewer images than this are *few-shot*; all others are *medium-shot*.
            Defaults to 20.

    Raises:
        UserInputError: If ``num_classes`` is not positive or the thresholds are not ``0 <= few <= many``.

    The groups follow Liu et al., "Large-Scale Long-Tailed Recognition in an Open World" (CVPR 2019).
    """

    counts: Tensor

    def __init__(
        self,
        num_classes: int | None = None,
        many_threshold: int = MANY_THRESHOLD,
        few_threshold: int = FEW_THRESHOLD,
    ) -> None:
        super().__init__()
        if num_classes is not None and num_classes <= 0:
            raise UserInputError(
                f"num_classes={num_classes} must be positive; set it to the number of classes of the data."
            )
        if num_classes is None:
            self.sized_by_data = ("counts",)
        self.set_thresholds(many_threshold, few_threshold)
        self.register_buffer("counts", torch.zeros(num_classes or 0, dtype=torch.int64))
        self._was_set = False  # as was found, so that losses need not ask the device in every step

    @property
    def num_classes(self) -> int:
        """Number of classes ``C``; 0 as long as neither an argument nor counts have said it."""
        return len(self.counts)

    def set_thresholds(self, many_threshold: int, few_threshold: int) -> None:
        """Set which classes are many-, medium- and few-shot.

        Args:
            many_threshold (int): Classes with more images than this are many-shot.
            few_threshold (int): Classes with fewer images than this are few-shot.

        Raises:
            UserInputError: If not ``0 <= few <= many``.
        """
        if not 0 <= few_threshold <= many_threshold:
            raise UserInputError(
                f"few_threshold={few_threshold} and many_threshold={many_threshold} must satisfy 0 <= few <= many."
            )
        self.many_threshold = many_threshold
        self.few_threshold = few_threshold

    def set_counts(self, counts: Tensor | np.ndarray | Sequence[int]) -> None:
        """Store the class counts.

        Args:
            counts (Tensor | np.ndarray | Sequence[int]): Images per class, shape ``(C,)``, non-negative. A class may be
                empty.

        Raises:
            UserInputError: If the shape does not fit, a count is negative, or all are zero.
        """
        values = torch.as_tensor(counts).to(torch.int64)
        if values.dim() != 1 or (not self.sized_by_data and len(values) != self.num_classes):
            raise UserInputError(
                f"class counts of shape {tuple(values.shape)} do not fit num_classes={self.num_classes}; "
                "set the head's num_classes to the number of classes of the data."
            )
        if bool((values < 0).any()) or not bool((values > 0).any()):
            raise UserInputError(f"class counts {values.tolist()[:10]} must be non-negative and not all zero.")
        self.resize_and_copy("counts", values)
        self._was_set = True

    @property
    def is_set(self) -> bool:
        """Whether the counts are known."""
        return bool((self.counts > 0).any())

    def known_counts(self) -> Tensor:
        """Images of each class, int64 ``(C,)``.

        Raises:
            UserInputError: If they are unknown.
        """
        self._require_counts()
        return self.counts

    @property
    def num_samples(self) -> int:
        """Number of training images ``N``."""
        return int(self.counts.sum())

    @property
    def priors(self) -> Tensor:
        """Class frequencies ``n_c / N``, shape ``(C,)``, float64."""
        self._require_counts()
        counts = self.counts.double()
        return counts / counts.sum()

    def log_priors(self, eps: float = 0.0) -> Tensor:
        r"""Logarithm of the priors, shape ``(C,)``, float64; cast it to the type of the logits that it is added to.

        An empty class has :math:`-\infty`: added to logits, as balanced softmax and logit adjustment do, it takes the
        class out of the softmax exactly, and the gradients of all logits stay finite. PaCo's released code adds 1e-9 to
        each prior instead, which leaves an empty class in the denominator.

        Computed without a host synchronisation, since losses call it every step.

        Args:
            eps (float): Added to each prior. Defaults to 0.

        Raises:
            UserInputError: If the counts are unknown: a uniform prior would make plain cross-entropy of the loss.
        """
        self._require_counts()
        counts = self.counts.double()
        return (counts / counts.sum() + eps).log()

    def filled_counts(self) -> Tensor:
        """Class counts, shape ``(C,)``, float64, in which an empty class counts as the rarest one that has images.

        Computed without a host synchronisation, since losses call it every step.

        Raises:
            UserInputError: If the counts are unknown.
        """
        self._require_counts()
        counts = self.counts.double()
        return torch.where(counts > 0, counts, torch.where(counts > 0, counts, torch.inf).amin())

    def class_balanced_weights(self, beta: float) -> Tensor:
        """Weight of each class by the inverse of its effective number of images, shape ``(C,)``, float64, mean 1.

        Source: Cui et al., "Class-Balanced Loss Based on Effective Number of Samples" (CVPR 2019), Eq. 2 and section 4:
        ``w_c`` is proportional to ``(1 - beta) / (1 - beta ** n_c)``.

        Args:
            beta (float): From 0 (all weights are equal) to just below 1 (inverse counts).

        Raises:
            UserInputError: If ``beta`` is not in ``[0, 1)`` or the counts are unknown.
        """
        if not 0 <= beta < 1:
            raise UserInputError(f"beta={beta} must be in [0, 1), like 0.9999.")
        self._require_counts()
        weights = (1 - beta) / (1 - beta ** self.filled_counts())
        return weights / weights.mean()

    @property
    def imbalance_factor(self) -> float:
        """Largest over smallest count, ``max n_c / min n_c``, over the classes that have images."""
        self._require_counts()
        present = self.counts[self.counts > 0]
        return float(present.max()) / float(present.min())

    @property
    def many(self) -> Tensor:
        """Many-shot classes, bool ``(C,)``."""
        return self.counts > self.many_threshold

    @property
    def few(self) -> Tensor:
        """Few-shot classes, bool ``(C,)``."""
        return self.counts < self.few_threshold

    @property
    def medium(self) -> Tensor:
        """Medium-shot classes, bool ``(C,)``."""
        return ~(self.many | self.few)

    @property
    def groups(self) -> list[str]:
        """``'many'``, ``'medium'`` or ``'few'`` for each class, ``C`` of them."""
        many, few = self.many.tolist(), self.few.tolist()
        return ["many" if large else "few" if small else "medium" for large, small in zip(many, few, strict=True)]

    def extra_repr(self) -> str:
        """Show the number of classes and, when known, the number of images."""
        known = f"num_samples={self.num_samples}" if self.is_set else "counts unknown"
        return f"num_classes={self.num_classes}, {known}"

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: object) -> None:
        """Take the counts over, and find out again whether they are known."""
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._was_set = False

    def _require_counts(self) -> None:
        self._was_set = self._was_set or self.is_set
        if not self._was_set:
            raise UserInputError(
                "the class counts are not known yet: add class_distribution=dict(type='ClassDistributionHook') to "
                "default_hooks, load a checkpoint that was trained with it, or, in a loop of your own, give the loss "
                "class_counts=[...] or call class_distribution.set_counts()."
            )
