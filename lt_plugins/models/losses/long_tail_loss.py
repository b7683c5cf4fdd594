"""Base of the losses on logits: class counts, class weights, deferred re-weighting, mixed labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import ClassDistribution, ClassPart, Labels, TakesMixtures, as_labels

POWERS = {"inverse": 1.0, "inverse_sqrt": 0.5}
RULES = (*POWERS, "inverse_power", "effective_number")
DIVISORS = ("weights", "labels", "batch")


class LongTailLoss(TakesMixtures, nn.Module):
    r"""Base class of the losses on logits; a method is one ``per_sample(logits, labels) -> (B,)``.

    .. math::
        L = \lambda \frac{\sum_i \sum_k s_{ik} w_{y_{ik}} \ell(z_i, y_{ik})}{\sum_i \sum_k s_{ik} w_{y_{ik}}}

    where an image ``i`` has one class, or two with the shares :math:`s_{ik}` after Mixup or CutMix. The class counts
    ``class_distribution`` (set by ``ClassDistributionHook``, a checkpoint or ``class_distribution.set_counts()``) bring
    their own length, so that a loss needs no ``num_classes``. Losses are computed in float32, also under autocast.

    Weights by a rule have mean 1 over the ``C`` classes, and an empty class has that of the rarest one:

    * ``"inverse"``: :math:`w_c \propto 1 / n_c`
    * ``"inverse_sqrt"``: :math:`w_c \propto 1 / \sqrt{n_c}`
    * ``"inverse_power"``: :math:`w_c \propto 1 / n_c^{\nu}`, of which the two above are :math:`\nu = 1` and 0.5 (ADRW;
      Wang et al., "A Unified Generalization Analysis of Re-Weighting and Logit-Adjustment for Imbalanced Learning",
      NeurIPS 2023)
    * ``"effective_number"``: :math:`w_c \propto (1 - \beta) / (1 - \beta^{n_c})` (Cui et al., "Class-Balanced Loss
      Based on Effective Number of Samples", CVPR 2019)

    With ``reweight_from`` they count from that epoch on only: deferred re-weighting (DRW; Cao et al., "Learning
    Imbalanced Datasets with Label-Distribution-Aware Margin Loss", NeurIPS 2019, Algorithm 1). ``EpochHook`` calls
    :meth:`set_epoch` before each epoch; so does a loop of your own.

    Args:
        class_weight (Sequence[float] | str, optional): Weight of each class, taken as given, or the rule that gives it
            by the class counts. Defaults to None: all classes weigh the same.
        weight_beta (float): :math:`\beta` of the effective number, from 0 (equal weights) to just below 1 (inverse
            counts). Defaults to 0.9999.
        weight_power (float): :math:`\nu` of ``"inverse_power"``, from 0 (equal weights). Defaults to 0.25.
        reweight_from (int): First epoch with class weights, from 0; 160 of 200 for LDAM-DRW on CIFAR. Defaults to 0.
        normalize_by (str): What the sum of the weighted losses is divided by: ``"weights"``, the sum of the weights as
            in ``torch.nn.CrossEntropyLoss``; ``"labels"``, of mixed images the losses of the classes with the larger
            and with the smaller share each by the sum of their own weights, as where a weighted cross-entropy is
            called for either label; or ``"batch"``, the number of images, which leaves rare batches a larger step.
            Without class weights all are the same. Defaults to ``"weights"``.
        loss_weight (float): Factor of the loss :math:`\lambda`. Defaults to 1.0.
        class_counts (Tensor | np.ndarray | Sequence[int], optional): Training images of each class, for a loop of your
            own. Defaults to None: set later.

    Raises:
        UserInputError: If an argument is out of range or unknown, or ``reweight_from`` is given without weights.

    Examples:
        >>> class FocalLoss(LongTailLoss):
        ...     def per_sample(self, logits, labels):
        ...         cross_entropy = F.cross_entropy(logits, labels, reduction="none")
        ...         return (1 - torch.exp(-cross_entropy)) * cross_entropy
        >>> loss = FocalLoss(class_weight="effective_number", reweight_from=160, class_counts=[100, 10, 1])
        >>> loss.set_epoch(epoch, max_epochs=200)
        >>> value = loss(logits, labels)
    """

    link: ClassVar[Literal["softmax", "sigmoid"]] = "softmax"
    """What makes probabilities of the logits that the loss trains; heads predict by it."""

    given_weight: Tensor | None
    class_part: ClassPart | None = None  # asked for by an optimiser that treats classes apart

    def __init__(
        self,
        class_weight: Sequence[float] | str | None = None,
        weight_beta: float = 0.9999,
        weight_power: float = 0.25,
        reweight_from: int = 0,
        normalize_by: Literal["weights", "labels", "batch"] = "weights",
        loss_weight: float = 1.0,
        class_counts: Tensor | np.ndarray | Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if isinstance(class_weight, str) and class_weight not in RULES:
            raise UserInputError(f"class_weight={class_weight!r} is unknown; give {', '.join(RULES)}, or a list.")
        if not 0 <= weight_beta < 1:
            raise UserInputError(f"weight_beta={weight_beta} must be in [0, 1), like 0.9999.")
        if not 0 <= weight_power < float("inf"):
            raise UserInputError(f"weight_power={weight_power} must be 0 (equal weights) or more, like 0.25.")
        if reweight_from < 0 or (reweight_from and class_weight is None):
            raise UserInputError(
                f"reweight_from={reweight_from} must be 0 or more, and defers a class_weight; give one, like "
                "class_weight='effective_number'."
            )
        if normalize_by not in DIVISORS:
            raise UserInputError(f"normalize_by={normalize_by!r} must be one of {DIVISORS}.")
        self.class_weight = class_weight
        self.weight_beta = weight_beta
        self.weight_power = weight_power
        self.reweight_from = reweight_from
        self.normalize_by = normalize_by
        self.loss_weight = loss_weight
        self.class_distribution = ClassDistribution()
        if class_counts is not None:
            self.class_distribution.set_counts(class_counts)
        self.is_reweighted = reweight_from == 0
        given = None
        if class_weight is not None and not isinstance(class_weight, str):
            given = torch.as_tensor(class_weight, dtype=torch.float64)
            if given.ndim != 1 or bool((given < 0).any()) or not bool((given > 0).any()):
                raise UserInputError(f"class_weight={class_weight!r} must be non-negative and not all zero.")
        self.register_buffer("given_weight", given, persistent=False)

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Loss of each image with one label; what a method implements.

        Args:
            logits (Tensor): Logits in float32 (or float64), shape ``(B, C)``.
            labels (Tensor): True classes, int64 ``(B,)``.

        Returns:
            Tensor: Losses, without class weights, shape ``(B,)``.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define per_sample(logits, labels).")

    def unweighted_per_sample(self, logits: Tensor, labels: Tensor) -> Tensor | None:  # noqa: ARG002
        """Further terms of the loss of each image, which class weights leave alone; for a method that has any.

        Args:
            logits (Tensor): As for :meth:`per_sample`.
            labels (Tensor): As for :meth:`per_sample`.

        Returns:
            Tensor | None: Shape ``(B,)``; their mean over the images is added. None for no such terms.
        """
        return None

    def forward(
        self,
        cls_score: Tensor,
        label: Labels,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        class_weight: Tensor | None = None,
    ) -> Tensor:
        """Compute the loss of a batch; a plain loop calls ``loss(logits, labels)``.

        Args:
            cls_score (Tensor): Logits, shape ``(B, C)``.
            label (Labels): True classes, whole numbers ``(B,)``, or the shares of the at most two classes of mixed
                images, shape ``(B, C)``; a tensor, array or list.
            weight (Tensor, optional): Weight of each image, shape ``(B,)``; it does not enter the divisor. Defaults to
                ones.
            avg_factor (float, optional): In place of ``B``, which mmpretrain's heads pass; where class weights are in
                force and ``normalize_by="weights"``, their sum is the divisor all the same.
            class_weight (Tensor, optional): Weight of each class in this call, shape ``(C,)``. Defaults to those in
                force.

        Returns:
            Tensor: Scalar loss in float32 (or float64, if the logits are).

        Raises:
            UserInputError: If an image is a mixture of three classes or more, class counts or weights are for another
                number of classes than the logits, or the class counts are needed and unknown.
        """
        logits = cls_score.to(torch.promote_types(cls_score.dtype, torch.float32))
        self._check_logits(logits)
        return self.mean_loss(
            lambda labels: self.per_sample(logits, labels),
            as_labels(label, logits.device),
            unweighted=lambda labels: self.unweighted_per_sample(logits, labels),
            weight=weight,
            avg_factor=avg_factor,
            class_weight=class_weight,
        )

    def mean_loss(
        self,
        per_sample: Callable[[Tensor], Tensor],
        label: Tensor,
        *,
        unweighted: Callable[[Tensor], Tensor | None] | None = None,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        class_weight: Tensor | None = None,
    ) -> Tensor:
        """Weighted mean of the losses of a batch, for subclasses whose forward takes more than logits.

        Args:
            per_sample (Callable): From labels, int64 ``(B,)``, to losses, shape ``(B,)``.
            label (Tensor): As in :meth:`forward`.
            unweighted (Callable, optional): In the same way the terms that class weights leave alone, or None for none.
            weight (Tensor, optional): As in :meth:`forward`.
            avg_factor (float, optional): As in :meth:`forward`.
            class_weight (Tensor, optional): As in :meth:`forward`.

        Returns:
            Tensor: Scalar loss.
        """
        class_weight = self.current_weight() if class_weight is None else class_weight
        terms, masses, others, classes, portions = [], [], [], [], []
        for labels, share in self.split_label(label):
            losses = per_sample(labels)
            portion = torch.ones_like(losses) if share is None else share.to(losses)
            mass = portion if class_weight is None else class_weight.to(losses)[labels] * portion
            other = None if unweighted is None else unweighted(labels)
            if other is not None:
                others.append(other if share is None else other * share.to(other))
            terms.append(mass * losses)
            masses.append(mass)
            classes.append(labels)
            portions.append(portion)
        images = len(terms[0]) if avg_factor is None else avg_factor
        divisor: Tensor | float = images
        tiny = torch.finfo(terms[0].dtype).tiny
        if class_weight is not None and self.normalize_by == "weights":
            divisor = sum(masses[1:], masses[0]).sum().clamp(min=tiny)
        elif class_weight is not None and self.normalize_by == "labels":
            each = zip(terms, masses, portions, strict=True)
            terms = [term * (images * share.mean() / mass.sum().clamp(min=tiny)) for term, mass, share in each]
        if others:  # a mean over images, brought to the divisor of the others
            terms = [term + other * (divisor / images) for term, other in zip(terms, others, strict=True)]

        def mean(terms: list[Tensor]) -> Tensor:
            total = sum(terms[1:], terms[0])
            return self.loss_weight * (total if weight is None else total * weight).sum() / divisor

        loss = mean(terms)
        if self.class_part is not None:
            shares = self.class_part.shares.to(terms[0])
            parts = [shares[labels] * term for labels, term in zip(classes, terms, strict=True)]
            self.class_part.whole, self.class_part.part = loss, mean(parts)
        return loss

    def current_weight(self) -> Tensor | None:
        """Class weights in force in this epoch, shape ``(C,)``, float64; None if all classes weigh the same.

        Raises:
            UserInputError: If they follow from the class counts and these are unknown.
        """
        if self.class_weight is None or not self.is_reweighted:
            return None
        if self.given_weight is not None:
            return self.given_weight
        if self.class_weight == "effective_number":
            return self.class_distribution.class_balanced_weights(self.weight_beta)
        power = POWERS.get(str(self.class_weight), self.weight_power)
        weights = self.class_distribution.filled_counts() ** -power
        return weights / weights.mean()

    def trained_prior(self, sampled: Tensor) -> Tensor:
        r"""Class prior that the logits answer for, in the state of this epoch, up to a factor.

        Cross-entropy answers for the frequencies of the images that it saw, and class weights count an image several
        times. A loss that adds :math:`\tau \log \pi_c` to the logits in training leaves that out of them: it divides by
        :math:`\pi_c^\tau`. Who adjusts a prior after training starts from this one.

        Args:
            sampled (Tensor): How often each class came in training, shares of shape ``(C,)``.

        Returns:
            Tensor: Weights of the classes, shape ``(C,)``.
        """
        weight = self.current_weight()
        return sampled if weight is None else sampled * weight.to(sampled)

    def set_epoch(self, epoch: int, max_epochs: int) -> str | None:  # noqa: ARG002 (others follow its share)
        """Take the class weights into force from ``reweight_from`` on.

        Args:
            epoch (int): The epoch about to start, from 0.
            max_epochs (int): Number of epochs of the training. Unused.

        Returns:
            str | None: The state of what changes, for the log.
        """
        self.is_reweighted = epoch >= self.reweight_from
        weights = self.current_weight()
        if weights is None:
            return None if self.class_weight is None else "equal class weights"
        return f"class weights from {weights.min():.3g} to {weights.max():.3g}"

    def _check_logits(self, logits: Tensor) -> None:
        num_classes = logits.shape[-1]
        known = {"class counts": self.class_distribution.counts, "class_weight": self.given_weight}
        for name, values in known.items():
            if values is not None and len(values) not in (0, num_classes):
                raise UserInputError(
                    f"{type(self).__name__} has {name} of {len(values)} classes, but logits of {num_classes}; give "
                    "both the same number."
                )
