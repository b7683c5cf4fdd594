"""The narrow CIFAR ResNet of the long-tailed literature."""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.backbones.expert_stage import (
    ExpertStage,
    check_experts,
    pass_branch,
    pass_trunk,
    scale_width,
)
from lt_plugins.registry import MODELS


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al., Fig. 2)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.stride = stride
        self.new_channels = out_channels - in_channels
        self.projection: nn.Module | None = None
        if shortcut == "B" and (stride != 1 or self.new_channels):
            self.projection = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        return F.relu(out + self._shortcut(x), inplace=True)

    def _shortcut(self, x: Tensor) -> Tensor:
        if self.projection is not None:
            return self.projection(x)
        if self.stride == 1 and not self.new_channels:
            return x
        # Option A: every other pixel, zeros for the new channels on both sides; no parameters.
        before = self.new_channels // 2
        after = self.new_channels - before
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, after))


@MODELS.register_module()
class CIFARResNet(BaseModule):
    """ResNet for 32x32 images: a 3x3 stem and three stages of 16, 32 and 64 channels, or multiples of these.

    mmpretrain's ``ResNet_CIFAR`` is the wide four-stage network; all CIFAR-LT tables are made with this narrow one,
    whose 32-layer form has 0.46 M parameters and a 64-d feature. The "ResNet-32" of GLMC has ``base_channels=64``: 7.4
    M parameters and a 256-d feature, so its numbers do not compare with theirs. Source: He et al., "Deep Residual
    Learning for Image Recognition" (CVPR 2016), section 4.2; Kaiming initialisation of convolutions as in the LDAM
    recipe.

    With ``num_experts`` above 1 it is a multi-expert network: the experts share the stem, the first ``shared_stages``
    stages and, if ``shared_blocks`` says so, blocks of the next stage; of all that follows each has its own copy. RIDE
    and SADE share one stage, and their experts are narrower (``expert_width=0.75``: 24 and 48 channels); those of
    BalPoE have full width. BBN's two branches differ in the last block only (``shared_stages=2, shared_blocks=-1``).

    Args:
        depth (int): Number of layers, ``6n + 2``: 20, 32, 44 or 56. Defaults to 32.
        shortcut (str): ``"A"`` pads the new channels with zeros (no parameters), ``"B"`` projects with a 1x1
            convolution. Defaults to ``"A"``.
        num_experts (int): Number of experts ``K``. Defaults to 1, the plain network.
        shared_stages (int): How many of the three stages the experts share, 0 to 2. Defaults to 1.
        shared_blocks (int): How many blocks of the stage after these are shared too; -1 for all but the last. Defaults
            to 0.
        expert_width (float): Share of their channels that the stages after ``shared_stages`` keep, also of a single
            expert. Defaults to 1.0.
        base_channels (int): Channels of the stem and the first stage; the others have twice and four times as many.
            Defaults to 16.
        init_cfg (dict | list[dict], optional): Initialisation; Kaiming-normal for convolutions by default.

    Raises:
        UserInputError: If an argument is out of the ranges above, or ``expert_width`` gives no whole number of
            channels.

    Examples:
        >>> model = dict(type='ImageClassifier', backbone=dict(type='CIFARResNet', depth=32),
        ...              neck=dict(type='GlobalAveragePooling'),
        ...              head=dict(type='LinearHead', num_classes=100, in_channels=64))
        >>> ride = dict(type='ImageClassifier',
        ...             backbone=dict(type='CIFARResNet', num_experts=3, expert_width=0.75),
        ...             neck=dict(type='GlobalAveragePooling'),
        ...             head=dict(type='MultiExpertHead', num_classes=100, in_channels=48, num_experts=3,
        ...                       loss=dict(type='RIDELoss')))
    """

    depths = (20, 32, 44, 56)
    out_indices = (2,)  # the last of three stages, as mmpretrain's backbones say it for its tools

    def __init__(
        self,
        depth: int = 32,
        shortcut: str = "A",
        num_experts: int = 1,
        shared_stages: int = 1,
        shared_blocks: int = 0,
        expert_width: float = 1.0,
        base_channels: int = 16,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if depth not in self.depths:
            raise UserInputError(f"depth={depth} is not a CIFAR ResNet; choose one of {self.depths}.")
        if shortcut not in ("A", "B"):
            raise UserInputError(f"shortcut={shortcut!r} must be 'A' (zero padding) or 'B' (1x1 projection).")
        if base_channels < 1:
            raise UserInputError(f"base_channels={base_channels} must be 1 or more, like 16.")
        check_experts(num_experts, shared_stages, num_stages=3)
        super().__init__(init_cfg or {"type": "Kaiming", "layer": "Conv2d", "mode": "fan_in", "nonlinearity": "relu"})
        self.depth = depth
        self.num_experts = num_experts
        self.conv1 = nn.Conv2d(3, base_channels, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(base_channels)
        channels = base_channels
        for stage in range(3):
            width = base_channels * 2**stage
            own_width = scale_width(width, expert_width) if stage >= shared_stages else width
            make = partial(_make_stage, (depth - 2) // 6, channels, own_width, 2 if stage else 1, shortcut)
            if num_experts == 1 or stage < shared_stages:
                layer: nn.Module = make()
            else:
                layer = ExpertStage(make, num_experts, shared_blocks if stage == shared_stages else 0)
            self.add_module(f"layer{stage + 1}", layer)
            channels = own_width

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the last feature map, of each expert.

        Args:
            x (Tensor): Images, shape ``(B, 3, H, W)``.

        Returns:
            tuple[Tensor, ...]: ``K`` maps, in the plain network one, of shape ``(B, D, H/4, W/4)``; ``D`` is ``4 *
            base_channels * expert_width``, 64 by default.
        """
        x = self._stem(x)
        for stage in self._stages():
            x = stage(x)
        return x if isinstance(x, tuple) else (x,)

    def trunk(self, x: Tensor) -> Tensor:
        """Compute the map that all experts share.

        Args:
            x (Tensor): Images, shape ``(B, 3, H, W)``.
        """
        return pass_trunk(self._stages(), self._stem(x))

    def branch(self, shared: Tensor, expert: int) -> Tensor:
        """Compute the last feature map of one expert.

        Args:
            shared (Tensor): What :meth:`trunk` gives, of any of the images.
            expert (int): Which expert, from 0.
        """
        return pass_branch(self._stages(), shared, expert)

    def _stem(self, x: Tensor) -> Tensor:
        return F.relu(self.bn1(self.conv1(x)), inplace=True)

    def _stages(self) -> tuple[nn.Module, ...]:
        return self.layer1, self.layer2, self.layer3


def _make_stage(num_blocks: int, in_channels: int, out_channels: int, stride: int, shortcut: str) -> nn.Sequential:
    """A stage of residual blocks, of which the first one has the stride."""
    blocks = [_BasicBlock(in_channels, out_channels, stride, shortcut)]
    blocks += [_BasicBlock(out_channels, out_channels, 1, shortcut) for _ in range(num_blocks - 1)]
    return nn.Sequential(*blocks)
