"""Sharpness-aware minimisation of a part of the loss, which has more of some classes than of others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lt_plugins.engine.optim_wrappers.sam_optim_wrapper import SAMOptimWrapper
from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import LongTailLoss
from lt_plugins.models.structures import ClassDistribution, ClassPart
from lt_plugins.models.unwrap import unwrap_model


class ClassSAMOptimWrapper(SAMOptimWrapper, ABC):
    r"""Base class of the wrappers that perturb by a part of the loss, a share of each class.

    .. math::
        g = \nabla (L - T)(w) + \lambda \nabla T(w + \varepsilon), \quad
        T = \frac{1}{B} \sum_i a_{y_i} \ell_i, \quad \varepsilon = \rho \frac{\nabla T(w)}{\|\nabla T(w)\| + 10^{-12}}

    Both gradients at ``w`` are of one forward pass, so a step takes two forward and three backward passes. Without an
    image of a class that has a share the perturbation is 0. The loss of the model must be one
    :class:`~lt_plugins.models.losses.LongTailLoss`, whose class weights and divisor stay as they are.

    Args:
        optimizer (Optimizer): The optimiser that takes the step.
        **kwargs: Settings of :class:`SAMOptimWrapper`.

    Attributes:
        part_weight (float): Weight of the part in the step :math:`\lambda`.
    """

    part_weight: float = 1.0

    def __init__(self, optimizer: Optimizer, **kwargs: Any) -> None:
        super().__init__(optimizer, **kwargs)
        self._part: ClassPart | None = None
        self._is_checked = False

    @abstractmethod
    def class_shares(self, distribution: ClassDistribution) -> Tensor:
        """Share of each class in the part of the loss :math:`a`, shape ``(C,)``, float64.

        Args:
            distribution (ClassDistribution): The class counts of the training set.
        """

    def initialize_count_status(self, model: nn.Module, init_counts: int, max_counts: int) -> None:
        """Look at the model before the training begins; called by mmengine's runner.

        Args:
            model (nn.Module): The model, with its distributed wrapper if it has one.
            init_counts (int): Steps that were taken before.
            max_counts (int): Steps of the training.

        Raises:
            UserInputError: If the loss of the model is no ``LongTailLoss``.
        """
        self._find_loss(model)
        super().initialize_count_status(model, init_counts, max_counts)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Context of the forward pass of a step, whose loss tells its part, too.

        Args:
            model (nn.Module): The model, with its distributed wrapper if it has one.
        """
        loss = self._find_loss(model)
        if self._part is None:
            self._part = ClassPart(self.class_shares(loss.class_distribution))
        loss.class_part = self._part
        with super().optim_context(model):
            yield

    def split_loss(self, loss: Tensor) -> tuple[Tensor, Tensor | None]:
        """Split the loss of the first pass into its part, which the perturbation climbs, and the rest.

        Args:
            loss (Tensor): Scalar loss.

        Returns:
            tuple[Tensor, Tensor | None]: Part and rest.
        """
        part = self._part_of(loss)
        return part, loss - part

    def descended_loss(self, loss: Tensor) -> Tensor:
        """Weighted part of the loss of the second pass.

        Args:
            loss (Tensor): Scalar loss.
        """
        return self.part_weight * self._part_of(loss)

    def unperturbed_loss(self, loss: Tensor) -> Tensor:
        """The loss, with its part weighted.

        Args:
            loss (Tensor): Scalar loss.
        """
        part = self._part_of(loss)
        return loss if self.part_weight == 1 else loss + (self.part_weight - 1) * part

    def _part_of(self, loss: Tensor) -> Tensor:
        """The part of this loss, which is computed and so can be asked for once.

        Raises:
            UserInputError: If the first loss that is split is not as the ``LongTailLoss`` gave it.
        """
        last = self._part or ClassPart(loss.new_zeros(0))
        whole, part, last.whole, last.part = last.whole, last.part, None, None  # graphs end with their pass
        if whole is None or part is None or not (self._is_checked or _is_same(loss, whole)):
            raise UserInputError(
                f"{type(self).__name__} splits the loss by class, and that of this model has terms besides its "
                "LongTailLoss, or scales it; use SAMOptimWrapper, or a head with this loss alone."
            )
        self._is_checked = True  # asked once: it waits for the device
        return part

    def _find_loss(self, model: nn.Module) -> LongTailLoss:
        head = getattr(unwrap_model(model), "head", None)
        loss = getattr(head, "loss_module", None)
        if not isinstance(loss, LongTailLoss):
            raise UserInputError(
                f"{type(self).__name__} splits the loss by class, which the {type(loss).__name__} of "
                f"{type(head).__name__} cannot; use a LongTailLoss, like model.head.loss.type=WeightedCrossEntropyLoss."
            )
        return loss


def _is_same(loss: Tensor, other: Tensor) -> bool:
    """Compare two losses to the last bit; one that is not a number is the same as another."""
    return torch.allclose(loss, other.to(loss), rtol=0, atol=0, equal_nan=True)
