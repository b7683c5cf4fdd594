"""Sharpness-aware minimisation with a share for each class, larger for rarer ones."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from lt_plugins.engine.optim_wrappers.class_sam_optim_wrapper import ClassSAMOptimWrapper
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import ClassDistribution
from lt_plugins.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class FocalSAMOptimWrapper(ClassSAMOptimWrapper):
    r"""Focal-SAM: each image gives a share of its gradient at perturbed weights, a larger one in rarer classes.

    .. math::
        g = \nabla \frac{1}{B} \sum_i (1 - a_{y_i}) \ell_i(w)
            + \nabla \frac{1}{B} \sum_i a_{y_i} \ell_i(w + \varepsilon), \quad
        a_c = s (1 - \pi_c)^{\gamma}, \quad
        \varepsilon = \rho \frac{\nabla \sum_i a_{y_i} \ell_i}{\|\nabla \sum_i a_{y_i} \ell_i\|}

    With :math:`\gamma = 0` and :math:`s = 1` it is SAM. Where no class has more than a few percent of the images
    (ImageNet-LT, iNaturalist) the shares hardly differ: the step is a blend of the plain and the SAM gradient. With
    :math:`s > 1` the plain part of rare classes has a negative weight.

    Source: Li et al., "Focal-SAM: Focal Sharpness-Aware Minimization for Long-Tailed Classification" (ICML 2025), in
    the form of its released code.

    Args:
        optimizer (Optimizer): The optimiser that takes the step.
        gamma (float): Exponent :math:`\gamma`. Defaults to 1.0.
        scale (float): Largest share :math:`s`. Defaults to 0.8.
        **kwargs: Settings of :class:`SAMOptimWrapper`.

    Raises:
        UserInputError: If an argument is out of range, or the loss of the model is no ``LongTailLoss``.

    Examples:
        >>> optim_wrapper = dict(type='FocalSAMOptimWrapper', rho=0.3, gamma=3.2, scale=0.8,
        ...                      optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-3))
    """

    def __init__(self, optimizer: Optimizer, gamma: float = 1.0, scale: float = 0.8, **kwargs: Any) -> None:
        super().__init__(optimizer, **kwargs)
        if gamma < 0 or scale <= 0:
            raise UserInputError(f"gamma={gamma} must be 0 or more and scale={scale} above 0.")
        self.gamma = gamma
        self.scale = scale

    def class_shares(self, distribution: ClassDistribution) -> Tensor:
        """Shares by the class counts, shape ``(C,)``; see the base class."""
        return self.scale * (1 - distribution.priors) ** self.gamma
