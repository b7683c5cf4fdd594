"""Linear head on normalised features with normalised weights."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from mmpretrain.models.heads.margin_head import NormProduct
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads.linear_head import LinearHead
from lt_plugins.registry import MODELS


@MODELS.register_module()
class CosineClsHead(LinearHead):
    r"""Classifier by cosine, without bias: :math:`z_c = s\,\hat w_c^\top \hat x`.

    The scale is applied here and only here; a loss that needs to know it has an attribute ``scale``, which must agree.
    Weights start as unit vectors, as in the released code of LDAM: longer ones would turn more slowly at the same
    learning rate. With ``learn_scale`` the scale is a parameter, ``fc.scale``, as in Gidaris & Komodakis, "Dynamic
    Few-Shot Visual Learning without Forgetting" (CVPR 2018). Source: Wang et al., "CosFace" (CVPR 2018), without
    margin.

    Args:
        num_classes (int): Number of classes ``C``.
        in_channels (int): Length of the pooled feature.
        scale (float): Scale ``s`` of the cosines. Defaults to 30.0.
        learn_scale (bool): Whether the scale is learned, from there on. Defaults to False.
        loss (dict, optional): Config of the loss on the scaled cosines. Defaults to cross-entropy.
        init_cfg (dict, optional): Initialisation. Defaults to uniform in ``[-1, 1]``; the rows are normalised after it.

    Raises:
        UserInputError: If the scale is not positive, or the loss has another one or, where it is learned, any.

    Examples:
        >>> head = dict(type='CosineClsHead', num_classes=100, in_channels=64, scale=30.0,
        ...             loss=dict(type='LDAMLoss', scale=30.0))
    """

    has_unit_features = True

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        scale: float = 30.0,
        learn_scale: bool = False,
        loss: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            num_classes=num_classes,
            in_channels=in_channels,
            loss=loss or {"type": "CrossEntropyLoss"},
            init_cfg=init_cfg or {"type": "Uniform", "layer": "Linear", "a": -1.0, "b": 1.0},
        )
        if scale <= 0:
            raise UserInputError(f"scale={scale} of the cosines must be positive.")
        self.scale = scale
        self.learn_scale = learn_scale
        self.check_loss(self.loss_module)
        self.fc = NormProduct(in_channels, num_classes)
        if learn_scale:
            self.fc.register_parameter("scale", nn.Parameter(torch.tensor(float(scale))))

    def init_weights(self) -> None:
        """Initialise, then bring the weight of each class to length 1."""
        super().init_weights()
        with torch.no_grad():
            self.fc.weight.copy_(F.normalize(self.fc.weight))

    def start_from(self, means: Tensor) -> None:
        """Point the weight of each class in the direction of a feature, such as the mean of its images.

        Args:
            means (Tensor): Shape ``(C, in_channels)``.
        """
        with torch.no_grad():
            self.fc.weight.copy_(F.normalize(means))

    def check_loss(self, loss: Any) -> None:
        """Refuse a loss that is told another scale of the cosines.

        Args:
            loss (nn.Module): The loss on the logits.

        Raises:
            UserInputError: If it is.
        """
        loss_scale = getattr(loss, "scale", self.scale)
        if self.learn_scale and hasattr(loss, "scale"):
            raise UserInputError(
                f"{type(loss).__name__} is told scale={loss_scale}, but the head learns its scale; set "
                "head.learn_scale=False or use a loss on logits of any scale."
            )
        if loss_scale != self.scale:
            raise UserInputError(
                f"{type(loss).__name__} is told scale={loss_scale}, but the head multiplies the cosines by "
                f"{self.scale}; set head.scale and head.loss.scale to the same value."
            )

    @property
    def logit_scale(self) -> float | Tensor:
        """Scale of the cosines, learned or not."""
        return cast(Tensor, self.fc.scale) if self.learn_scale else self.scale

    def classify(self, features: Tensor) -> Tensor:
        """Compute the scaled cosines.

        Args:
            features (Tensor): Pooled features, shape ``(B, in_channels)``.

        Returns:
            Tensor: Logits ``(B, C)``, in float32 even under autocast: half precision times ``s`` is too coarse.
        """
        with torch.autocast(features.device.type, enabled=False):
            return self.logit_scale * self.fc(features.to(torch.promote_types(features.dtype, torch.float32)))

    def affine(self) -> tuple[Tensor, Tensor]:
        r"""Weights :math:`s \hat W`, of the directions of the features, and biases of 0."""
        weight = (self.logit_scale * F.normalize(self.fc.weight)).detach()
        return weight, weight.new_zeros(len(weight))
