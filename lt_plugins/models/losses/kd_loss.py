"""Knowledge distillation of logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import LabelBatch, NetworkOutputs, StatesCall
from lt_plugins.registry import MODELS


def distillation_divergence(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Kullback-Leibler divergence of the softened prediction of a student from that of its teacher.

    Args:
        logits (Tensor): Of the student, shape ``(B, C)``.
        teacher_logits (Tensor): Of the teacher, shape ``(B, C)``.
        temperature (float): What both are divided by.

    Returns:
        Tensor: Shape ``(B,)``, in float32 or more.
    """
    dtype = torch.promote_types(logits.dtype, torch.float32)
    own = F.log_softmax(logits.to(dtype) / temperature, dim=1)
    target = F.log_softmax(teacher_logits.to(dtype) / temperature, dim=1)
    return F.kl_div(own, target, reduction="none", log_target=True).sum(dim=1)


@MODELS.register_module()
class KDLoss(StatesCall):
    r"""Knowledge distillation (KD): pulls the softened prediction towards that of the teachers.

    .. math::
        L = \frac{\lambda T^2}{B} \sum_i \mathrm{KL}\big(\mathrm{softmax}(z^t_i / T)\,\big\|\,
            \mathrm{softmax}(z_i / T)\big)

    of the mean logits of several experts, and as the mean over several teachers.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network" (NIPS workshop 2014).

    Args:
        temperature (float): :math:`T`, positive. Defaults to 2.0.
        square_temperature (bool): Whether the factor :math:`T^2` is there, with which gradients are as large at any
            temperature. Defaults to True.
        loss_weight (float): :math:`\lambda`. Defaults to 1.0.

    Raises:
        UserInputError: If the temperature is not positive.

    Examples:
        >>> model = dict(type='DistillClassifier', teachers=[dict(stage=1)], distill=dict(type='KDLoss'), ...)
    """

    call = "loss(NetworkOutputs(features, logits), [teacher_outputs])"

    def __init__(self, temperature: float = 2.0, square_temperature: bool = True, loss_weight: float = 1.0) -> None:
        super().__init__()
        if not 0 < temperature < float("inf"):
            raise UserInputError(f"temperature={temperature} of KDLoss must be positive, like 2.0.")
        self.temperature = temperature
        self.square_temperature = square_temperature
        self.loss_weight = loss_weight

    def forward(
        self,
        student: NetworkOutputs,
        teachers: Sequence[NetworkOutputs],
        samples: LabelBatch | None = None,  # noqa: ARG002 (other distillations read the labels)
    ) -> Tensor:
        """Compute the loss of a batch.

        Args:
            student (NetworkOutputs): Of the network that is trained.
            teachers (Sequence[NetworkOutputs]): Of one teacher or several.
            samples (LabelBatch, optional): Labels of the images. Unused.

        Returns:
            Tensor: Scalar loss.
        """
        divergences = [
            distillation_divergence(student.mean_logits, teacher.mean_logits, self.temperature) for teacher in teachers
        ]
        factor = self.temperature**2 if self.square_temperature else 1.0
        return self.loss_weight * factor * torch.stack(divergences).mean()
