"""Classifier of a bilateral-branch network, which learns from two branches cumulatively."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmpretrain.structures import DataSample
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads.linear_head import LinearHead
from lt_plugins.models.structures import LabelBatch
from lt_plugins.registry import MODELS


@MODELS.register_module()
class BBNHead(LinearHead):
    r"""BBN head: one linear classifier of the features of two branches, with cumulative learning.

    The conventional branch sees images :math:`c` as they are distributed, the re-balancing branch images :math:`r` of
    the reversed distribution. In epoch :math:`t`, from 0, of :math:`T`

    .. math::
        z = W [2 \alpha f_c; 2 (1 - \alpha) f_r] + b, \qquad
        L = \alpha\, \ell(z, y_c) + (1 - \alpha)\, \ell(z, y_r), \qquad
        \alpha = 1 - \Big( \frac{t}{h T} \Big)^2

    so that learning moves from the one to the other. A prediction is that of both branches for the same image,
    :math:`z = W [f_c; f_r] + b`, as in training at :math:`\alpha = 1/2`.

    Conventional images may be several times as many, as of several environments: each image of the re-balancing branch
    then meets one of each environment.

    Source: Zhou et al., "BBN: Bilateral-Branch Network with Cumulative Learning for Long-Tailed Visual Recognition"
    (CVPR 2020), Eq. 1-3.

    Args:
        num_classes (int): Number of classes ``C``.
        in_channels (int): Length ``D`` of the pooled feature of one branch.
        horizon (float): Length :math:`h` of the parabola, in trainings: 1, or 10/9 where the released code lets 90 or
            180 epochs end as if they were 100 or 200. Defaults to 1.0.
        loss (dict, optional): Config of the loss on the logits. Defaults to cross-entropy.
        bias (bool): As for :class:`LinearHead`. Defaults to True.
        init_cfg (dict | list, optional): Initialisation. Defaults to that of PyTorch, uniform within ``1 / sqrt(2 D)``.

    Raises:
        UserInputError: If ``horizon`` is below 1.

    Examples:
        >>> model = dict(type='BBNClassifier',
        ...              backbone=dict(type='CIFARResNet', num_experts=2, shared_stages=2, shared_blocks=-1),
        ...              head=dict(type='BBNHead', num_classes=100, in_channels=64))
    """

    num_experts = 2  # branches of the backbone

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        horizon: float = 1.0,
        loss: dict | None = None,
        bias: bool = True,
        init_cfg: dict | list | None = None,
    ) -> None:
        if not 1 <= horizon < float("inf"):
            raise UserInputError(f"horizon={horizon} must be 1 or more, like 1 or 10/9: alpha falls to 0 at its end.")
        super().__init__(
            num_classes=num_classes,
            in_channels=2 * in_channels,
            loss=loss,
            bias=bias,
            init_cfg=init_cfg or {"type": "TorchDefaultInit", "layer": "Linear"},
        )
        self.in_channels = in_channels
        self.horizon = horizon
        self.alpha = 1.0

    def set_epoch(self, epoch: int, max_epochs: int) -> str:
        """Set the share of the conventional branch.

        Args:
            epoch (int): The epoch about to start, from 0.
            max_epochs (int): Number of epochs of the training.

        Returns:
            str: The share, for the log.
        """
        self.alpha = 1 - (epoch / (self.horizon * max_epochs)) ** 2
        return f"conventional branch {self.alpha:.3f}"

    def pre_logits(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Put the features of both branches side by side.

        Args:
            feats (tuple[Tensor, ...]): Pooled features of the conventional and of the re-balancing branch, each of
                shape ``(B, D)``.

        Returns:
            Tensor: Shape ``(B, 2 D)``.

        Raises:
            UserInputError: If there are not two.
        """
        if len(feats) != 2:
            raise UserInputError(
                f"BBNHead classifies by two branches, and the backbone gives {len(feats)} map(s); set "
                "model.backbone.num_experts=2."
            )
        return torch.cat(feats, dim=1)

    def loss(self, feats: tuple[Tensor, ...], data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute the loss of a batch.

        Args:
            feats (tuple[Tensor, ...]): As for :meth:`mix`.
            data_samples (Sequence[DataSample]): Annotations of the conventional images, then of the others.

        Returns:
            dict[str, Tensor]: ``loss``.
        """
        return self.loss_of_pairs(self.mix(feats), data_samples)

    def mix(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Compute the logits of pairs of a conventional and a re-balancing image.

        Args:
            feats (tuple[Tensor, ...]): Features of the conventional images by the conventional branch, shape
                ``(E * B, D)``, and of the ``B`` re-balancing images by the other branch.

        Returns:
            Tensor: Shape ``(E * B, C)``.
        """
        conventional, balanced = feats
        balanced = balanced.repeat(len(conventional) // len(balanced), 1)
        return self.classify(torch.cat([2 * self.alpha * conventional, 2 * (1 - self.alpha) * balanced], dim=1))

    def loss_of_pairs(self, logits: Tensor, data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute the loss of what :meth:`mix` gives.

        Args:
            logits (Tensor): Shape ``(E * B, C)``.
            data_samples (Sequence[DataSample]): Annotations of the conventional images, then of the others.

        Returns:
            dict[str, Tensor]: ``loss``.
        """
        target = LabelBatch.from_samples(data_samples).target
        conventional, balanced = target[: len(logits)], target[len(logits) :]
        balanced = torch.cat([balanced] * (len(logits) // len(balanced)))
        first, second = (self.loss_module(logits, label, avg_factor=len(logits)) for label in (conventional, balanced))
        return {"loss": self.alpha * first + (1 - self.alpha) * second}
