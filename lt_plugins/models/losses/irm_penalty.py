"""IRM penalty: a classifier that is the best one in each environment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.distributed import rank_and_world_size, sum_over_processes
from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.aux_loss import AuxLoss
from lt_plugins.models.structures import LabelBatch
from lt_plugins.registry import MODELS

FORMS = ("environment", "class_scale")


@MODELS.register_module()
class IRMPenalty(AuxLoss):
    r"""IRM penalty (IRMv1), an auxiliary loss: by how much scaling the logits would lower the risk of an environment.

    With the cross-entropy :math:`R^e` of environment ``e``, its labels :math:`t_i` as shares and :math:`p_i` the
    softmax of the logits,

    .. math::
        L = \omega_t \frac{1}{E} \sum_e \left(\nabla_{s | s = 1} R^e(s z)\right)^2, \quad
        \nabla_{s | s = 1} R^e(s z) = \frac{1}{B} \sum_{i \in e} (p_i - t_i)^\top z_i

    The derivative is taken in closed form, so that there is no second backward pass, and is that of the images of all
    processes. Of several experts it is the mean.

    ``form="class_scale"`` is what the released code of IFL compares with: the scale is a vector with an entry a class,
    the penalty the L1 norm of its gradient, on the batch of all environments together, so that it asks for no
    invariance.

    The weight does not rescale the other losses; the released code of IRM divides all by a weight above 1, as a lower
    learning rate would.

    Source: Arjovsky et al., "Invariant Risk Minimization" (2019), Eq. IRMv1, and its code (the mean over environments);
    Tang et al., "Invariant Feature Learning for Generalized Long-Tailed Classification" (ECCV 2022), code.

    Args:
        form (str): ``"environment"`` or ``"class_scale"``. Defaults to ``"environment"``.
        weights (float | Sequence[Sequence[float]]): Weight :math:`\omega_t`, or pairs of an epoch and the weight from
            it on; with IFL's form ``[(0, 0.001), (31, 0.01), (61, 0.1), (91, 1.0)]`` of 100 epochs. Defaults to 1.0.

    Raises:
        UserInputError: If the form is unknown.

    Examples:
        >>> model = dict(type='AuxLossClassifier', num_environments=2, aux_losses=dict(irm=dict(type='IRMPenalty')))
    """

    def __init__(
        self,
        form: Literal["environment", "class_scale"] = "environment",
        weights: float | Sequence[Sequence[float]] = 1.0,
    ) -> None:
        super().__init__(weights)
        if form not in FORMS:
            raise UserInputError(f"form={form!r} must be one of {FORMS}.")
        self.form = form

    def forward(
        self,
        features: Tensor,  # noqa: ARG002 (the interface of auxiliary losses)
        logits: Tensor,
        samples: LabelBatch,
        num_environments: int = 1,
    ) -> Tensor:
        """Compute the penalty of a batch.

        Args:
            features (Tensor): Unused.
            logits (Tensor): Logits ``(B, C)``, of ``K`` experts ``(B, K, C)``.
            samples (LabelBatch): Labels of the images, or shares of classes.
            num_environments (int): In how many chunks of one size the batch comes. Defaults to 1.

        Returns:
            Tensor: Scalar in float32 (or float64, if the logits are).
        """
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        target = samples.target
        shares = F.one_hot(target, logits.shape[-1]) if target.ndim == 1 else target
        shares = shares.to(logits).view(len(shares), *[1] * (logits.ndim - 2), -1)
        slopes = (logits.softmax(dim=-1) - shares) * logits  # of the risk of each image, an entry a class
        if self.form == "class_scale":
            return self.weight * _of_all_processes(slopes.flatten(0, -2).mean(dim=0), torch.abs).sum()
        slope = torch.stack([part.sum(dim=-1).mean() for part in slopes.chunk(num_environments)])
        return self.weight * _of_all_processes(slope, torch.square).mean()


def _of_all_processes(mean: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """A function of the mean over all processes, whose gradient, averaged over them, is that of a single process."""
    world_size = rank_and_world_size()[1]
    if world_size == 1:
        return function(mean)
    together = mean.detach().clone()
    sum_over_processes(together)
    together = (together / world_size).requires_grad_()
    value = function(together)
    (slope,) = torch.autograd.grad(value.sum(), together)
    return value.detach() + slope * (mean - mean.detach())
