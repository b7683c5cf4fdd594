"""ResNet and ResNeXt of which several experts have the last stages each for themselves."""

from __future__ import annotations

from functools import partial
from typing import Any

from mmpretrain.models import ResNet, ResNeXt
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


@MODELS.register_module()
class MultiExpertResNet(ResNet):
    """Multi-expert ResNet: experts that share the stem and the first stages, and each have their own last ones.

    RIDE and SADE share two stages, and the two others of an expert are narrower (``expert_width=0.75``: 768 and 1536
    channels); those of BalPoE have full width. BBN's two branches differ in the last block only (``num_experts=2,
    shared_stages=3, shared_blocks=-1``). With one expert it is mmpretrain's ``ResNet``, with the same names of weights.

    Source: Wang et al., "Long-tailed Recognition by Routing Diverse Distribution-Aware Experts" (ICLR 2021), section 3.

    Args:
        depth (int): Number of layers, like 50.
        num_experts (int): Number of experts ``K``. Defaults to 3.
        shared_stages (int): How many of the stages the experts share, 0 to 3. Defaults to 2.
        shared_blocks (int): How many blocks of the stage after these are shared too; -1 for all but the last. Defaults
            to 0.
        expert_width (float): Share of their channels that the stages after ``shared_stages`` keep, also of a single
            expert. Defaults to 1.0.
        **kwargs: As for :class:`mmpretrain.models.ResNet`; ``out_indices`` is the last stage.

    Raises:
        UserInputError: If an argument is out of the ranges above, ``expert_width`` gives no whole number of channels,
            or ``out_indices`` is not the last stage.

    Examples:
        >>> backbone = dict(type='MultiExpertResNet', depth=50, num_experts=3, expert_width=0.75,
        ...                 zero_init_residual=False)
        >>> head = dict(type='MultiExpertHead', num_classes=1000, in_channels=1536, num_experts=3,
        ...             loss=dict(type='RIDELoss'))
    """

    def __init__(
        self,
        depth: int,
        num_experts: int = 3,
        shared_stages: int = 2,
        shared_blocks: int = 0,
        expert_width: float = 1.0,
        **kwargs: Any,
    ) -> None:
        num_stages = kwargs.get("num_stages", 4)
        check_experts(num_experts, shared_stages, num_stages)
        kwargs.setdefault("out_indices", (num_stages - 1,))
        if tuple(kwargs["out_indices"]) != (num_stages - 1,):
            raise UserInputError(
                f"out_indices={kwargs['out_indices']} of a multi-expert network must be ({num_stages - 1},): it gives "
                "the last map of each expert."
            )
        # Read by make_res_layer, while the base builds the stages.
        self.num_experts = num_experts
        self.shared_stages = shared_stages
        self.shared_blocks = shared_blocks
        self.expert_width = expert_width
        super().__init__(depth, **kwargs)

    def make_res_layer(self, **kwargs: Any) -> nn.Module:
        """Build the next stage: a shared one as in mmpretrain, or an :class:`ExpertStage`.

        Args:
            **kwargs: As mmpretrain passes them.
        """
        stage = len(self.res_layers)
        if stage >= self.shared_stages:
            kwargs["out_channels"] = self._scale(kwargs["out_channels"])
        if stage > self.shared_stages:
            kwargs["in_channels"] = self._scale(kwargs["in_channels"])
        make = partial(super().make_res_layer, **kwargs)
        if self.num_experts == 1 or stage < self.shared_stages:
            return make()
        return ExpertStage(make, self.num_experts, self.shared_blocks if stage == self.shared_stages else 0)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the last feature map, of each expert.

        Args:
            x (Tensor): Images, shape ``(B, 3, H, W)``.

        Returns:
            tuple[Tensor, ...]: ``K`` maps.
        """
        (last,) = super().forward(x)
        return last if isinstance(last, tuple) else (last,)

    def trunk(self, x: Tensor) -> Tensor:
        """Compute the map that all experts share.

        Args:
            x (Tensor): Images, shape ``(B, 3, H, W)``.
        """
        x = self.stem(x) if self.deep_stem else self.relu(self.norm1(self.conv1(x)))
        return pass_trunk(self._stages(), self.maxpool(x))

    def branch(self, shared: Tensor, expert: int) -> Tensor:
        """Compute the last feature map of one expert.

        Args:
            shared (Tensor): What :meth:`trunk` gives, of any of the images.
            expert (int): Which expert, from 0.
        """
        return pass_branch(self._stages(), shared, expert)

    def _stages(self) -> list[nn.Module]:
        return [getattr(self, name) for name in self.res_layers]

    def train(self, mode: bool = True) -> MultiExpertResNet:
        """Switch between training and evaluation, as in mmpretrain.

        Args:
            mode (bool): Whether to train. Defaults to True.
        """
        super().train(mode)
        return self

    def _scale(self, channels: int) -> int:
        return scale_width(channels, self.expert_width, unit=self.expansion)


@MODELS.register_module()
class MultiExpertResNeXt(MultiExpertResNet, ResNeXt):
    """Multi-expert ResNeXt: :class:`MultiExpertResNet` with grouped convolutions.

    Args:
        depth (int): Number of layers, like 50.
        groups (int): Groups of the 3x3 convolutions. Defaults to 32.
        width_per_group (int): Their channels a group in the first stage. Defaults to 4.
        **kwargs: As for :class:`MultiExpertResNet`.

    Examples:
        >>> backbone = dict(type='MultiExpertResNeXt', depth=50, groups=32, width_per_group=4, num_experts=3,
        ...                 expert_width=0.75, zero_init_residual=False)
    """

    def __init__(self, depth: int, groups: int = 32, width_per_group: int = 4, **kwargs: Any) -> None:
        super().__init__(depth, groups=groups, width_per_group=width_per_group, **kwargs)
