"""Modulated attention of OLTR: self-attention over a feature map, gated by a spatial attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.registry import MODELS


@MODELS.register_module()
class ModulatedAttention(BaseModule):
    r"""Modulated attention and average pooling: in place of ``GlobalAveragePooling``.

    .. math::
        f' = f + \mathrm{MA}(f) \odot \mathrm{SA}(f), \qquad
        \mathrm{SA}(f) = W_m \, \mathrm{softmax}\big(\theta(f)^\top \phi(f)\big) \, g(f), \qquad
        \mathrm{MA}(f) = \mathrm{softmax}(W_{fc} \, \mathrm{vec}(f) + b)

    SA is a non-local block (embedded Gaussian): each location gathers the values :math:`g` of all, by the similarity of
    its query :math:`\theta` with their keys :math:`\phi`, all by 1 x 1 convolutions. MA weighs the locations: a linear
    layer on the whole map and a softmax over its locations, the same for all channels. Since :math:`W_m` starts at
    zero, the block passes its input on at first. The pooled feature is the mean of :math:`f'`, so the neck may follow a
    first stage that only pools, and starts from the very same features.

    Source: Liu et al., "Large-Scale Long-Tailed Recognition in an Open World" (CVPR 2019), section 3.3, and released
    code; Wang et al., "Non-local Neural Networks" (CVPR 2018).

    Args:
        in_channels (int): Channels of the map.
        map_size (int | Sequence[int]): Height and width of the map, one number for both: the linear layer has an input
            for each location. 7 for images of 224 x 224 in a ResNet.
        reduction (int): How many times fewer channels queries, keys and values have. Defaults to 2.
        init_cfg (dict, optional): Initialisation. Defaults to None: normal weights of He et al. for queries, keys and
            values, zeros for what follows them, PyTorch's default for the linear layer.

    Raises:
        UserInputError: If a size is not positive, or ``reduction`` leaves no channel; in a forward pass, if a map has
            another size.

    Examples:
        >>> neck = dict(type='ModulatedAttention', in_channels=512, map_size=7)
    """

    def __init__(
        self,
        in_channels: int,
        map_size: int | Sequence[int],
        reduction: int = 2,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        height, width = (map_size, map_size) if isinstance(map_size, int) else map_size
        if min(in_channels, height, width) < 1 or not 1 <= reduction <= in_channels:
            raise UserInputError(
                f"in_channels={in_channels} and map_size={map_size} must be positive, and reduction={reduction} from 1 "
                "to the number of channels."
            )
        self.map_size = (height, width)
        channels = in_channels // reduction
        self.theta, self.phi, self.g = (nn.Conv2d(in_channels, channels, 1) for _ in range(3))
        self.mask = nn.Conv2d(channels, in_channels, 1, bias=False)
        self.fc = nn.Linear(in_channels * height * width, height * width)
        for layer in (self.theta, self.phi, self.g):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.constant_(layer.get_parameter("bias"), 0.0)
        nn.init.zeros_(self.mask.weight)

    def forward(self, feats: tuple[Tensor, ...]) -> tuple[Tensor]:
        """Attend to the last map, and pool it.

        Args:
            feats (tuple[Tensor, ...]): Maps, the last of shape ``(B, in_channels, H, W)``.

        Returns:
            tuple[Tensor]: One tensor of shape ``(B, in_channels)``.

        Raises:
            UserInputError: If the map has another size than ``map_size``.
        """
        found = tuple(feats[-1].shape[2:])
        if found != self.map_size:
            raise UserInputError(
                f"ModulatedAttention has map_size={self.map_size}, and the maps of the backbone are {found}; set "
                "map_size of the neck to that, or give images of the size that it was made for."
            )
        return (self.attend(feats[-1]).mean(dim=(2, 3)),)

    def attend(self, maps: Tensor) -> Tensor:
        """Add the gated self-attention to maps.

        Args:
            maps (Tensor): Shape ``(B, C, H, W)``.

        Returns:
            Tensor: Shape ``(B, C, H, W)``.
        """
        queries, keys, values = (layer(maps).flatten(2) for layer in (self.theta, self.phi, self.g))  # (B, C', HW)
        similarity = torch.softmax(queries.transpose(1, 2) @ keys, dim=2)  # (B, HW, HW)
        gathered = (values @ similarity.transpose(1, 2)).unflatten(2, self.map_size)  # (B, C', H, W)
        gate = torch.softmax(self.fc(maps.flatten(1)), dim=1).unflatten(1, (1, *self.map_size))  # (B, 1, H, W)
        return maps + gate * self.mask(gathered)
