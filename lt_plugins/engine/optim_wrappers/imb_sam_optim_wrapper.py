"""Sharpness-aware minimisation for the tail classes alone."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from lt_plugins.engine.optim_wrappers.class_sam_optim_wrapper import ClassSAMOptimWrapper
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import ClassDistribution
from lt_plugins.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class ImbSAMOptimWrapper(ClassSAMOptimWrapper):
    r"""Imbalanced SAM: images of tail classes, those with few images, give their gradient at perturbed weights.

    .. math::
        g = \nabla \frac{1}{B} \sum_{y_i \notin T} \ell_i(w)
            + \lambda \nabla \frac{1}{B} \sum_{y_i \in T} \ell_i(w + \varepsilon), \quad
        \varepsilon = \rho \frac{g_T}{\|g_T\|}, \quad T = \{c : n_c < \eta\}

    The released code doubles the sum over tail images (:math:`\lambda = 2`): a class weight, whatever the perturbation
    does. A batch without tail images takes a plain step.

    Source: Zhou et al., "ImbSAM: A Closer Look at Sharpness-Aware Minimization in Class-Imbalanced Recognition"
    (ICCV 2023), in the form of its released code.

    Args:
        optimizer (Optimizer): The optimiser that takes the step.
        tail_threshold (int): Classes with fewer images than this are tail classes :math:`\eta`. Defaults to 20.
        tail_weight (float): Weight of their part :math:`\lambda`. Defaults to 2.0.
        **kwargs: Settings of :class:`SAMOptimWrapper`.

    Raises:
        UserInputError: If an argument is out of range, or the loss of the model is no ``LongTailLoss``.

    Examples:
        >>> optim_wrapper = dict(type='ImbSAMOptimWrapper', rho=0.05, tail_threshold=20,
        ...                      optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=2e-4))
    """

    def __init__(self, optimizer: Optimizer, tail_threshold: int = 20, tail_weight: float = 2.0, **kwargs: Any) -> None:
        super().__init__(optimizer, **kwargs)
        if tail_threshold < 1 or tail_weight <= 0:
            raise UserInputError(f"tail_threshold={tail_threshold} and tail_weight={tail_weight} must be above 0.")
        self.tail_threshold = tail_threshold
        self.part_weight = tail_weight

    def class_shares(self, distribution: ClassDistribution) -> Tensor:
        """1 for tail classes and 0 for others, shape ``(C,)``; see the base class."""
        return (distribution.filled_counts() < self.tail_threshold).double()
