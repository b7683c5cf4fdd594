"""Distillation of learning from multiple experts: each teaches its own classes, as long as it is ahead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.kd_loss import distillation_divergence
from lt_plugins.models.structures import DataSizedModule, LabelBatch, NetworkOutputs, StatesCall
from lt_plugins.registry import MODELS


def expert_weights(accuracy: Tensor, expert_accuracy: Tensor, decay_from: float) -> Tensor:
    r"""Weights of the experts by what the student has reached.

    .. math::
        w_e = \begin{cases} 1 & a_e < \beta a^t_e \\
            \max\big(0, \frac{a^t_e - a_e}{(1 - \beta) a^t_e}\big) & \text{otherwise} \end{cases}

    An expert that knows nothing, :math:`a^t_e = 0`, has weight 0.

    Args:
        accuracy (Tensor): Accuracy of the student on the classes of each expert :math:`a_e`, shape ``(E,)``.
        expert_accuracy (Tensor): Those of the experts :math:`a^t_e`, shape ``(E,)``.
        decay_from (float): Share of the expert's accuracy where its weight begins to fall :math:`\beta`, from 0 to
            below 1.

    Returns:
        Tensor: Shape ``(E,)``, from 0 to 1.
    """
    known = expert_accuracy > 0
    left = 1 - accuracy / torch.where(known, expert_accuracy, torch.ones_like(expert_accuracy))
    # Below the threshold more than 1 - beta is left, which the clamp makes 1; both pieces meet there.
    return torch.where(known, (left / (1 - decay_from)).clamp(0, 1), torch.zeros_like(left))


@MODELS.register_module()
class LFMELoss(StatesCall, DataSizedModule):
    r"""Self-paced distillation from experts on subsets of the classes (LFME), each on its part of the logits.

    .. math::
        L = \lambda \sum_e \frac{w_e}{B} \sum_i \mathrm{KL}\big(\mathrm{softmax}(z^e_{i,S_e} / T)\,\big\|\,
            \mathrm{softmax}(z_{i,S_e} / T)\big)

    over all images of a batch, where :math:`S_e` are the classes of expert :math:`e`. An expert fades once the student
    has come near enough: see :func:`expert_weights`. ``LFMEHook`` measures both on the validation set.

    Source: Xiang et al., "Learning From Multiple Experts: Self-paced Knowledge Distillation for Long-tailed
    Classification" (ECCV 2020), with the constants of its released code, which has no factor :math:`T^2`.

    Args:
        temperature (float): :math:`T`, positive. Defaults to 2.0.
        decay_from (float): Share of the expert's accuracy where its weight begins to fall, from 0 to below 1. Defaults
            to 0.3.
        square_temperature (bool): Whether a factor :math:`T^2` is there. Defaults to False.
        loss_weight (float): :math:`\lambda`. Defaults to 1.0.

    Attributes:
        expert_accuracy (Tensor): Accuracy of each expert on its classes, float64 ``(E,)``; 0 until
            ``LFMEHook`` has measured it.
        weights (Tensor): Weights of the experts, float64 ``(E,)``; 1 at first.

    Raises:
        UserInputError: If the temperature or ``decay_from`` is out of range.

    Examples:
        >>> model = dict(type='LFMEClassifier', teachers=[dict(stage=1), dict(stage=2)], distill=dict(type='LFMELoss'),
        ...              backbone=dict(type='CIFARResNet'), head=dict(type='LinearHead'))
    """

    call = "loss(NetworkOutputs(features, logits), expert_outputs)"

    needs_hook: ClassVar[dict[str, Any]] = {"type": "LFMEHook"}
    sized_by_data = ("expert_accuracy", "weights")
    expert_accuracy: Tensor
    weights: Tensor

    def __init__(
        self,
        temperature: float = 2.0,
        decay_from: float = 0.3,
        square_temperature: bool = False,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if not 0 < temperature < float("inf"):
            raise UserInputError(f"temperature={temperature} of LFMELoss must be positive, like 2.0.")
        if not 0 <= decay_from < 1:
            raise UserInputError(f"decay_from={decay_from} of LFMELoss must be from 0 to below 1, like 0.3.")
        self.temperature = temperature
        self.decay_from = decay_from
        self.square_temperature = square_temperature
        self.loss_weight = loss_weight
        self.num_experts = 0
        self.register_buffer("expert_accuracy", torch.zeros(0, dtype=torch.float64))
        self.register_buffer("weights", torch.zeros(0, dtype=torch.float64))

    def set_experts(self, classes: Sequence[Tensor]) -> None:
        """Take the classes of the experts; weights of as many experts stay, others begin at 1.

        Args:
            classes (Sequence[Tensor]): Labels of the classes of each expert, int64 ``(K_e,)``.
        """
        self.num_experts = len(classes)
        for number, labels in enumerate(classes):
            self.register_buffer(f"classes_{number}", labels.to(self.weights.device), persistent=False)
        if len(self.weights) != len(classes):
            self.resize_and_copy("expert_accuracy", torch.zeros(len(classes), dtype=torch.float64))
            self.resize_and_copy("weights", torch.ones(len(classes), dtype=torch.float64))

    @property
    def classes(self) -> list[Tensor]:
        """Labels of the classes of each expert, int64 ``(K_e,)``."""
        return [self.get_buffer(f"classes_{number}") for number in range(self.num_experts)]

    def set_accuracies(self, accuracy: Tensor) -> None:
        """Renew the weights by what the student has reached.

        Args:
            accuracy (Tensor): Its accuracy on the classes of each expert, from 0 to 1, shape ``(E,)``.
        """
        self.weights.copy_(expert_weights(accuracy.to(self.expert_accuracy), self.expert_accuracy, self.decay_from))

    def forward(
        self,
        student: NetworkOutputs,
        teachers: Sequence[NetworkOutputs],
        samples: LabelBatch | None = None,  # noqa: ARG002 (other distillations read the labels)
    ) -> Tensor:
        """Compute the loss of a batch.

        Args:
            student (NetworkOutputs): Of the network that is trained, logits of all classes.
            teachers (Sequence[NetworkOutputs]): Of the experts, in the order of :meth:`set_experts`.
            samples (LabelBatch, optional): Labels of the images. Unused.

        Returns:
            Tensor: Scalar loss.

        Raises:
            UserInputError: If it knows the classes of another number of experts.
        """
        if len(teachers) != self.num_experts:
            raise UserInputError(
                f"LFMELoss got {len(teachers)} experts and knows the classes of {self.num_experts}; let LFMEClassifier "
                "set them, or call set_experts()."
            )
        divergences = [
            distillation_divergence(
                student.mean_logits[:, classes], teacher.mean_logits[:, classes], self.temperature
            ).mean()
            for classes, teacher in zip(self.classes, teachers, strict=True)
        ]
        factor = self.temperature**2 if self.square_temperature else 1.0
        terms = torch.stack(divergences)
        return self.loss_weight * factor * (self.weights.to(terms) * terms).sum()

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"temperature={self.temperature}, decay_from={self.decay_from}"
