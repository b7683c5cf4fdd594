"""BYOL whose target network follows optimiser steps."""

from __future__ import annotations

import math
from typing import Any

import torch
from mmengine.logging import MessageHub
from mmpretrain.models.selfsup import BYOL
from mmpretrain.models.utils import CosineEMA
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import FollowsSteps
from lt_plugins.registry import MODELS


@MODELS.register_module()
class StepBYOL(BYOL):
    r"""mmpretrain's ``BYOL``, whose target network moves once an optimiser step and asks the device for nothing.

    The target network :math:`\xi` follows the online one :math:`\theta` by :math:`\xi \leftarrow \xi + m (\theta -
    \xi)`, where the share falls to 0 over the ``N`` iterations of the training, :math:`m = m_0 (\cos(\pi n / N) + 1) /
    2`. mmpretrain's reads the number of iterations from the device for each parameter of each step, and moves with each
    batch: with accumulated gradients several times a step. Its network and the number of iterations are part of the
    checkpoint. Similarities are computed in float32 also under autocast.

    Source: Grill et al., "Bootstrap Your Own Latent" (NeurIPS 2020), Eq. 1-3, which calls :math:`1 - m` the decay.

    Args:
        backbone (dict | nn.Module): The backbone, or its config.
        neck (dict): Config of the projector, such as mmpretrain's ``NonLinearNeck``.
        head (dict): Config of the head with the predictor, such as mmpretrain's ``LatentPredictHead``.
        base_momentum (float): The share :math:`m_0`. Defaults to 0.004.
        **kwargs: As for mmpretrain's ``BYOL``.

    Raises:
        UserInputError: If ``base_momentum`` is not in ``[0, 1]``.

    Examples:
        >>> model = dict(type='SelfSupervisedClassifier', algorithm=dict(type='StepBYOL', base_momentum=0.01, ...), ...)
    """

    def __init__(
        self, backbone: dict | nn.Module, neck: dict, head: dict, base_momentum: float = 0.004, **kwargs: Any
    ) -> None:
        if not 0 <= base_momentum <= 1:
            raise UserInputError(
                f"base_momentum={base_momentum} must be in [0, 1], like 0.004; it is the share of the new weights."
            )
        super().__init__(backbone=backbone, neck=neck, head=head, base_momentum=base_momentum, **kwargs)
        self.target_net = TargetNetwork(nn.Sequential(self.backbone, self.neck), momentum=base_momentum)
        self.head.loss_module.register_forward_pre_hook(_in_full_precision)


def _in_full_precision(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(value.to(torch.promote_types(value.dtype, torch.float32)) for value in inputs)


class TargetNetwork(CosineEMA, FollowsSteps):
    """Exponential moving average that follows a network once an optimiser step, by shares that fall as a cosine.

    Args:
        model (nn.Module): The network.
        momentum (float): Share of the new weights in the first step.
    """

    def __init__(self, model: nn.Module, momentum: float) -> None:
        super().__init__(model, momentum=momentum)

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Let the weights follow; the first time, and buffers always, take them over.

        Args:
            model (nn.Module): The network.

        Raises:
            UserInputError: If no training runs, whose length the share follows.
        """
        if self.repeats_batch:
            return
        if self.starts_step:
            share = self._share()
            own, other = ([*network.parameters()] for network in (self.module, model))
            for averaged, weight in zip(own, other, strict=True):
                averaged.lerp_(weight, share.to(averaged.dtype))
            for copied, buffer in zip(self.module.buffers(), model.buffers(), strict=True):
                copied.copy_(buffer)
        self.steps += 1

    def _share(self) -> Tensor:
        """Share of the new weights, a scalar on the device of the network."""
        num_iters = MessageHub.get_current_instance().get_info("max_iters")
        if num_iters is None:
            raise UserInputError(
                "the target network of BYOL follows by shares that fall over a training, and none runs; use "
                "tools/train.py, or MessageHub.get_current_instance().update_info('max_iters', N)."
            )
        cosine = (torch.cos(self.steps.float() * (math.pi / num_iters)) + 1) / 2
        return torch.where(self.steps == 0, 1.0, self.end_momentum + (self.momentum - self.end_momentum) * cosine)
