"""ResNet-32 of SHIKE: experts that each add features of another depth to their own last stage."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.backbones.cifar_resnet import CIFARResNet
from lt_plugins.models.initializers import TorchDefaultInit
from lt_plugins.registry import MODELS

WIDTHS = (16, 32, 64)


def _downsample(stage: int) -> nn.Sequential:
    """Strided convolutions from the map after a stage, 1 or 2, to the size of the last one; ReLU after the first."""
    layers: list[nn.Module] = []
    for width, next_width in zip(WIDTHS[stage - 1 : -1], WIDTHS[stage:], strict=True):
        layers += [nn.Conv2d(width, next_width, 3, 2, 1, bias=False), nn.BatchNorm2d(next_width)]
        if len(layers) == 2:
            layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


@MODELS.register_module()
class SHIKEResNet(CIFARResNet):
    r"""Multi-expert ResNet of SHIKE for 32x32 images: experts differ in the depth of a second feature.

    The experts share the stem and two stages. The map of expert ``k`` is the product of its own third stage and of a
    shallow branch, strided convolutions from the map after the first stage (experts 0, 2, ...) or the second one
    (experts 1, 3, ...), position by position, before any pooling. With three experts and 100 classes it has 1.258 M
    parameters with their cosine classifiers.

    Source: Jin et al., "Long-Tailed Visual Recognition via Self-Heterogeneous Integration with Knowledge Excavation"
    (CVPR 2023), and its released code.

    Args:
        depth (int): Number of layers, ``6n + 2``: 20, 32, 44 or 56. Defaults to 32.
        shortcut (str): As for :class:`CIFARResNet`; ``"B"`` as released. Defaults to ``"B"``.
        num_experts (int): Number of experts ``K``, 2 or more. Defaults to 3.
        init_cfg (dict | list[dict], optional): Initialisation; by default Kaiming-normal for the convolutions of the
            stages, and PyTorch's for the shallow branches.

    Raises:
        UserInputError: If an argument is out of the ranges above.

    Examples:
        >>> backbone = dict(type='SHIKEResNet', depth=32, num_experts=3)
        >>> head = dict(type='MultiExpertHead', num_classes=100, in_channels=64, num_experts=3,
        ...             loss=dict(type='SHIKELoss'))
    """

    def __init__(
        self,
        depth: int = 32,
        shortcut: str = "B",
        num_experts: int = 3,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        if num_experts < 2:
            raise UserInputError(f"num_experts={num_experts} of SHIKEResNet must be 2 or more, like 3.")
        kaiming = {"type": "Kaiming", "layer": "Conv2d", "mode": "fan_in", "nonlinearity": "relu"}
        super().__init__(
            depth,
            shortcut,
            num_experts=num_experts,
            shared_stages=2,
            init_cfg=init_cfg or {**kaiming, "override": {"type": TorchDefaultInit, "name": "shallow"}},
        )
        self.shallow = nn.ModuleList(_downsample(1 + expert % 2) for expert in range(num_experts))

    def trunk(self, x: Tensor) -> Tensor:  # noqa: ARG002 (as CIFARResNet)
        """Refuse to be split into a map that all experts share and what follows for one of them.

        Args:
            x (Tensor): Images.

        Raises:
            UserInputError: Always.
        """
        raise UserInputError(
            "the experts of SHIKEResNet read the maps of two stages, so none goes on from a single shared map; use "
            "CIFARResNet(num_experts=...) where a router chooses experts."
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the map of each expert.

        Args:
            x (Tensor): Images, shape ``(B, 3, H, W)``.

        Returns:
            tuple[Tensor, ...]: ``K`` maps of shape ``(B, 64, H/4, W/4)``.
        """
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        first = self.layer1(x)
        second = self.layer2(first)
        sources = (first, second)
        return tuple(
            deep * branch(sources[expert % 2])
            for expert, (deep, branch) in enumerate(zip(self.layer3(second), self.shallow, strict=True))
        )
