"""Multi-expert network that asks as many experts as an image needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmpretrain.structures import DataSample
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.classifiers.expert_router import ExpertRouter
from lt_plugins.models.classifiers.frozen_backbone_classifier import FrozenBackboneClassifier
from lt_plugins.models.structures import LabelBatch
from lt_plugins.registry import MODELS


@MODELS.register_module()
class RoutedClassifier(FrozenBackboneClassifier):
    """Routed multi-expert network: the second stage of RIDE, which learns how many experts an image needs.

    All of the network of stage 1 is frozen, statistics of batch norms too; an :class:`.ExpertRouter` is trained. A
    prediction asks the experts in turn: those that an image does not need are not computed for it. It is of the mean
    logits of the experts that were asked, and says how many these are (``num_experts``, for :class:`.ExpertUsage`).

    Source: Wang et al., "Long-tailed Recognition by Routing Diverse Distribution-Aware Experts" (ICLR 2021), section
    3.3.

    Args:
        backbone (dict): Config of a multi-expert backbone, that of stage 1.
        head (dict): Config of its :class:`.MultiExpertHead`.
        neck (dict | list, optional): Config of the neck; ``[]`` for none. Defaults to global average pooling.
        num_top (int): How many logits a gate reads; all of fewer classes. Defaults to 30.
        hidden_channels (int): What a gate makes of a feature. Defaults to 16.
        positive_weight (float): Weight of images that another expert helps: the larger, the more are asked. Defaults to
            100.0.
        data_preprocessor (dict, optional): Arguments of :class:`ImageBatchPreprocessor`.
        init_cfg (dict, optional): Initialisation.

    Raises:
        UserInputError: If the head has no experts, or less than two.

    Examples:
        >>> stage2 = dict(model=dict(type='RoutedClassifier', head=dict()))
    """

    def __init__(
        self,
        backbone: dict,
        head: dict,
        neck: dict | list | None = None,
        num_top: int = 30,
        hidden_channels: int = 16,
        positive_weight: float = 100.0,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            backbone=backbone, head=head, neck=neck, data_preprocessor=data_preprocessor, init_cfg=init_cfg
        )
        if not hasattr(self.head, "expert_logits"):
            raise UserInputError(
                f"RoutedClassifier chooses among the experts of a MultiExpertHead, and {type(self.head).__name__} has "
                "none; let it follow a stage with one."
            )
        top = min(num_top, self.head.num_classes)
        self.router = ExpertRouter(self.head.num_experts, self.head.in_channels, top, hidden_channels, positive_weight)
        self.initialised_parts = (*self.initialised_parts, "head.")
        self.head.requires_grad_(False)

    def train(self, mode: bool = True) -> RoutedClassifier:
        """Switch the router; all else stays in evaluation mode.

        Args:
            mode (bool): Whether to train. Defaults to True.
        """
        super().train(mode)
        self.head.train(False)
        return self

    def loss(self, inputs: Tensor, data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute the loss of the router.

        Args:
            inputs (Tensor): Preprocessed images, shape ``(B, 3, H, W)``.
            data_samples (Sequence[DataSample]): Annotations of the ``B`` images.

        Returns:
            dict[str, Tensor]: ``loss``.
        """
        feats = self.extract_feat(inputs)
        with torch.no_grad():
            logits = self.head.expert_logits(self.head.pre_logits(feats))
        return {"loss": self.router.loss(feats, logits, LabelBatch.from_samples(data_samples).one_label_each)}

    def predict(
        self,
        inputs: Tensor,
        data_samples: Sequence[DataSample] | None = None,
        **kwargs: Any,  # noqa: ARG002
    ) -> LabelBatch:
        """Predict a batch of images, by as many experts as the router asks.

        Args:
            inputs (Tensor): Preprocessed images, shape ``(B, 3, H, W)``.
            data_samples (Sequence[DataSample], optional): Annotations of the images. Defaults to None.
            **kwargs: Unused.

        Returns:
            LabelBatch: Probabilities, and how many experts they are of.
        """
        logits, asked = self.route(inputs)
        scores = torch.softmax(logits, dim=1)
        if data_samples is None:
            return LabelBatch(pred_score=scores, num_experts=asked)
        return LabelBatch.from_samples(data_samples).with_predictions(scores, asked)

    @torch.no_grad()
    def route(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the mean logits of the experts that the router asks.

        Args:
            images (Tensor): Preprocessed images, shape ``(B, 3, H, W)``.

        Returns:
            tuple[Tensor, Tensor]: Logits ``(B, C)`` and how many experts they are of, int64 ``(B,)``.
        """
        shared = self.backbone.trunk(images)
        rows = torch.arange(len(images), device=images.device)  # of the images that ask on
        asked = torch.zeros_like(rows)
        sums: Any = 0.0
        for number, head in enumerate(self.head.experts):
            maps = (self.backbone.branch(shared[rows], number),)
            feature = (self.neck(maps) if self.with_neck else maps)[-1]
            logits = head.classify(head.pre_logits((feature,)))
            sums = logits if number == 0 else sums.index_add(0, rows, logits)
            asked[rows] += 1
            if number < len(self.head.experts) - 1:
                rows = rows[self.router(feature, sums[rows] / (number + 1), number) > 0]
            if len(rows) == 0:
                break
        return sums / asked[:, None], asked
