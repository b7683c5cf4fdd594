"""Learning from failure: a network that learns what another, biased one fails on."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import ModuleDict
from mmpretrain.models import ImageClassifier
from mmpretrain.models.heads import ClsHead
from mmpretrain.structures import DataSample
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import GeneralizedCrossEntropyLoss
from lt_plugins.models.losses.relative_difficulty import RelativeDifficulty, relative_difficulty
from lt_plugins.models.structures import LabelBatch
from lt_plugins.registry import MODELS


@MODELS.register_module()
class LFFClassifier(ImageClassifier):
    r"""Learning from failure (LfF): trains a biased network, and a debiased one on the images that the first fails on.

    .. math::
        L = \frac{1}{B} \sum_i \big(1 - p^b_{i y_i}{}^q\big) + \frac{1}{B} \sum_i W_i \, \ell(z^d_i, y_i)

    The biased network has generalized cross-entropy, whose gradient here is that of cross-entropy times
    :math:`q p^q`: it trusts what it finds easy, which are the frequent attributes of a class. The weight :math:`W_i` of
    an image in the loss of the debiased network is its relative difficulty, by the cross-entropies of both networks
    (:class:`.RelativeDifficulty`). ``backbone``, ``neck`` and ``head`` are the debiased network, which predicts; both
    have one architecture and initial weights of their own.

    Source: Nam et al., "Learning from Failure: De-biasing Classifier from Biased Classifier" (NeurIPS 2020), Algorithm
    1 and its released code. With ``momentum=None`` as compared in Tang et al., "Invariant Feature Learning for
    Generalized Long-Tailed Classification" (ECCV 2022), whose code takes the losses of the step itself.

    Args:
        backbone (dict): Config of the backbone, of both networks.
        head (dict): Config of the head, of both networks; its loss trains the debiased one.
        neck (dict | list, optional): Config of the neck; ``[]`` for none. Defaults to global average pooling.
        q (float): Exponent of the generalized cross-entropy, above 0 up to 1. Defaults to 0.7.
        momentum (float, optional): Of the running mean of the losses of each image, from 0 to below 1; it needs
            ``ImageBuffersHook``. None for the losses of the step, not divided by the highest of the class. Defaults to
            0.7.
        data_preprocessor (dict, optional): Arguments of :class:`ImageBatchPreprocessor`, without ``batch_augments``.
        init_cfg (dict, optional): Initialisation.

    Raises:
        UserInputError: If ``q`` is out of range, images are mixed, or the loss of the head needs more than logits.

    Examples:
        >>> model = dict(type='LFFClassifier', backbone=dict(type='CIFARResNet'),
        ...              head=dict(type='LinearHead', num_classes=100, in_channels=64))
        >>> custom_hooks = [dict(type='ImageBuffersHook')]
    """

    def __init__(
        self,
        backbone: dict,
        head: dict,
        neck: dict | list | None = None,
        q: float = 0.7,
        momentum: float | None = 0.7,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        neck = {"type": "GlobalAveragePooling"} if neck is None else neck
        parts: dict[str, Any] = {"backbone": backbone, "head": head, **({"neck": neck} if neck else {})}
        super().__init__(
            **copy.deepcopy(parts),
            data_preprocessor={"type": "ImageBatchPreprocessor", **(data_preprocessor or {})},
            init_cfg=init_cfg,
        )
        if not 0 < q <= 1:
            raise UserInputError(f"q={q} must be above 0 and at most 1, like 0.7.")
        if self.data_preprocessor.batch_augments is not None:
            raise UserInputError(
                "LFFClassifier weighs images by the loss of their one label; remove Mixup and CutMix "
                "(data_preprocessor.batch_augments)."
            )
        if type(self.head).loss is not ClsHead.loss:
            raise UserInputError(
                f"LFFClassifier weighs the loss of each image, and {type(self.head).__name__} computes its own; use a "
                "head whose loss takes logits alone, like LinearHead."
            )
        self.biased = ModuleDict({name: MODELS.build(copy.deepcopy(part)) for name, part in parts.items()})
        self.biased_loss = GeneralizedCrossEntropyLoss(q, loss_weight=q)
        self.difficulty = None if momentum is None else RelativeDifficulty(momentum)

    def loss(self, inputs: Tensor, data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute the losses of both networks.

        Args:
            inputs (Tensor): Preprocessed images, shape ``(B, 3, H, W)``.
            data_samples (Sequence[DataSample]): Annotations of the ``B`` images.

        Returns:
            dict[str, Tensor]: The losses of the debiased head, ``loss_biased``, and ``mean_weight`` of the images.
        """
        batch = LabelBatch.from_samples(data_samples)
        labels = batch.one_label_each
        logits, biased_logits = self.head(self.extract_feat(inputs)), self._biased_logits(inputs)
        difficulties = [
            F.cross_entropy(
                scores.detach().to(torch.promote_types(scores.dtype, torch.float32)), labels, reduction="none"
            )
            for scores in (biased_logits, logits)
        ]
        if self.difficulty is None:
            weights = relative_difficulty(*difficulties)
        else:
            weights = self.difficulty(*difficulties, labels, batch.sample_idx, logits.shape[1])
        losses: dict[str, Tensor] = self.head._get_loss(logits, data_samples, weight=weights)
        losses["loss_biased"] = self.biased_loss(biased_logits, labels)
        losses["mean_weight"] = weights.mean()
        return losses

    def _biased_logits(self, inputs: Tensor) -> Tensor:
        """Logits of the biased network, ``(B, C)``."""
        features = self.biased["backbone"](inputs)
        if "neck" in self.biased:
            features = self.biased["neck"](features)
        return self.biased["head"](features)
