"""Backbones of timm."""

from __future__ import annotations

import importlib.util
from difflib import get_close_matches
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.registry import MODELS


@MODELS.register_module()
class TimmFeatures(BaseModule):
    """Feature extractor of timm: any model by its name, without its classifier.

    It gives the features that timm's own classifier is given, pooled and normalised as the model does it, so that
    pretrained weights serve as they were trained; a neck is not needed. mmpretrain's ``TIMMBackbone`` leaves pooling
    and the last normalisation out. Weights come from a file (``--pretrained``), nothing is downloaded.

    Source: Wightman, "PyTorch Image Models" (timm).

    Args:
        model_name (str): Its name in timm, with or without a tag, such as ``convnext_tiny`` or
            ``vit_base_patch16_224.augreg_in21k``.
        as_map (bool): Whether to give the last feature map instead, for methods that read local features, and for a
            pooling neck. Defaults to False.
        init_cfg (dict | list[dict], optional): Initialisation; timm's own by default.
        **kwargs: Further arguments of the model, such as ``drop_path_rate`` or ``img_size``.

    Raises:
        UserInputError: If timm is not installed, has no such model, or the model gives no map with ``as_map=True``.

    Examples:
        >>> backbone = dict(type='TimmFeatures', model_name='convnext_tiny', drop_path_rate=0.1)
    """

    def __init__(
        self, model_name: str, as_map: bool = False, init_cfg: dict | list[dict] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(init_cfg)
        if importlib.util.find_spec("timm") is None:
            raise UserInputError(f"timm/{model_name} needs timm, which is not installed: pip install timm")
        import timm

        if not timm.is_model(model_name):
            near = get_close_matches(model_name.partition(".")[0], timm.list_models(), n=3)
            known = f"; did you mean {' or '.join(near)}?" if near else "."
            raise UserInputError(f"timm {timm.__version__} has no model {model_name!r}{known}")
        self.as_map = as_map
        # A tag names released weights, which are not fetched.
        self.network = timm.create_model(model_name, pretrained=False, num_classes=0, **kwargs)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Compute the features.

        Args:
            x (Tensor): Images, shape ``(B, 3, H, W)``.

        Returns:
            tuple[Tensor]: Shape ``(B, D)``; with ``as_map`` ``(B, D, H', W')``.
        """
        if not self.as_map:
            return (self.network(x),)
        features = self.network.forward_features(x)
        if features.ndim != 4:
            raise UserInputError(
                f"{type(self.network).__name__} gives features of shape {tuple(features.shape)}, which is no map; set "
                "as_map=False and leave out what reads local features."
            )
        return (features,)
