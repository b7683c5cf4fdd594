"""Projector without batch norm."""

from __future__ import annotations

import itertools

from mmengine.model import BaseModule
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.registry import MODELS


@MODELS.register_module()
class MLPProjector(BaseModule):
    """Linear layers with ReLU between them and no batch norm, the projector of GPaCo.

    For a projector with batch norm use mmpretrain's ``NonLinearNeck``. Source: Cui et al., "Generalized Parametric
    Contrastive Learning" (TPAMI 2023), released code.

    Args:
        in_channels (int): Length of the pooled feature.
        hidden_channels (int): Width of the hidden layers.
        out_channels (int): Length of the projection.
        num_layers (int): Number of linear layers, at least 1. Defaults to 3.
        init_cfg (dict, optional): Initialisation. Defaults to None, torch's own.

    Raises:
        UserInputError: If ``num_layers`` is not positive.

    Examples:
        >>> projector = dict(type='MLPProjector', in_channels=64, hidden_channels=64, out_channels=32)
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int = 3,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if num_layers < 1:
            raise UserInputError(f"num_layers={num_layers} must be at least 1.")
        widths = [in_channels, *[hidden_channels] * (num_layers - 1), out_channels]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, feats: tuple[Tensor, ...]) -> tuple[Tensor]:
        """Project the last feature.

        Args:
            feats (tuple[Tensor, ...]): Pooled features, the last of shape ``(B, in_channels)``.

        Returns:
            tuple[Tensor]: One tensor of shape ``(B, out_channels)``.
        """
        return (self.layers(feats[-1]),)
