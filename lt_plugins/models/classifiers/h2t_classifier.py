"""Head-to-tail fusion: a classifier learns from balanced images with some channels of naturally sampled ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmpretrain.structures import DataSample
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.classifiers.environments import check_environments
from lt_plugins.models.classifiers.frozen_backbone_classifier import FrozenBackboneClassifier
from lt_plugins.models.structures import LabelBatch, StepDraws
from lt_plugins.registry import MODELS


@MODELS.register_module()
class H2TClassifier(StepDraws, FrozenBackboneClassifier):
    r"""Head-to-tail feature fusion (H2T): a second stage on class-balanced images that borrow channels of others.

    A batch has two parts of one size, as ``CompanionBatchSampler`` makes them: class-balanced images, and images as
    they are distributed, which are mostly of frequent classes. With the last maps :math:`F^b` and :math:`F^n` of the
    two and a random set :math:`S` of :math:`\lfloor \rho D \rfloor` of their :math:`D` channels,

    .. math::
        F_{id} = \begin{cases} F^n_{id} & d \in S \\ F^b_{id} & \text{else} \end{cases}, \qquad
        L = \frac{1}{B} \sum_i \ell(W\, \mathrm{pool}(F_i) + b,\; y^b_i)

    The labels are those of the balanced images alone. There is one set a step, for all images and processes; of several
    experts, each has a set of its own. The two parts pass through the backbone one after the other: batch norms in
    training mode (``norm_eval=False``, as released) normalise each by its own statistics and take both into the running
    ones. Nothing of the backbone has a gradient, and a prediction is that of a plain classifier.

    Source: Li et al., "Feature Fusion from Head to Tail for Long-Tailed Visual Recognition" (AAAI 2024), and its
    released code, where the balanced images are those that are written into.

    Args:
        backbone (dict): Config of the backbone, of one map or several.
        head (dict): Config of the head, which alone is trained.
        neck (dict | list, optional): Config of the neck; ``[]`` for none. Defaults to global average pooling.
        rho (float): Share :math:`\rho` of the channels that come from naturally sampled images, from 0 (a plain
            class-balanced stage) to 1. Defaults to 0.25.
        norm_eval (bool): As for :class:`FrozenBackboneClassifier`. Defaults to False.
        reuse_head (bool): As for :class:`FrozenBackboneClassifier`. Defaults to True.
        data_preprocessor (dict, optional): Arguments of :class:`ImageBatchPreprocessor`, without ``batch_augments``.
        init_cfg (dict, optional): Initialisation.

    Raises:
        UserInputError: If ``rho`` is out of range, or the data preprocessor mixes images; in training, if a batch has
            an odd number of images.

    Examples:
        >>> model = dict(type='H2TClassifier', backbone=dict(type='CIFARResNet'),
        ...              head=dict(type='LinearHead', num_classes=100, in_channels=64))
        >>> train_dataloader = dict(
        ...     sampler=dict(type='ClassBalancedSampler'),
        ...     batch_sampler=dict(type='CompanionBatchSampler',
        ...                        companions=[dict(type='DefaultSampler', shuffle=True)]))
    """

    num_environments = 2  # balanced and natural images

    def __init__(
        self,
        backbone: dict,
        head: dict,
        neck: dict | list | None = None,
        rho: float = 0.25,
        norm_eval: bool = False,
        reuse_head: bool = True,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        if not 0 <= rho <= 1:
            raise UserInputError(f"rho={rho} must be a share of the channels from 0 to 1, like 0.25.")
        super().__init__(
            backbone=backbone,
            head=head,
            neck=neck,
            norm_eval=norm_eval,
            reuse_head=reuse_head,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        if self.data_preprocessor.batch_augments is not None:
            raise UserInputError(
                "H2TClassifier fuses balanced images with natural ones, and Mixup or CutMix would mix both before; "
                "remove data_preprocessor.batch_augments."
            )
        self.rho = rho

    def loss(self, inputs: Tensor, data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute the losses of a batch.

        Args:
            inputs (Tensor): Preprocessed images, shape ``(2B, 3, H, W)``: balanced ones, then natural ones.
            data_samples (Sequence[DataSample]): Their annotations, of which the first ``B`` count.

        Returns:
            dict[str, Tensor]: Those of the head.

        Raises:
            UserInputError: If the batch has an odd number of images.
        """
        check_environments(data_samples, self.num_environments)
        size = len(data_samples) // 2
        balanced, natural = (self.extract_feat(part, stage="backbone") for part in (inputs[:size], inputs[size:]))
        with torch.no_grad():
            maps = self.fuse(balanced, natural)
            feats = self.neck(maps) if self.with_neck else maps
        return self.head.loss(feats, LabelBatch.from_samples(data_samples)[:size])

    def fuse(self, balanced: Sequence[Tensor], natural: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Put the channels of this step from one sequence of maps into another.

        Args:
            balanced (Sequence[Tensor]): Maps of the balanced images, each of shape ``(B, D, H, W)``.
            natural (Sequence[Tensor]): Maps of the natural images, of the same shapes.

        Returns:
            tuple[Tensor, ...]: New maps, of the same shapes.
        """
        widths = [feature_map.shape[1] for feature_map in balanced]
        masks = self.draw(lambda generator: [_channels(generator, width, self.rho) for width in widths])
        return tuple(
            torch.where(torch.from_numpy(mask).to(own.device, non_blocking=True)[:, None, None], other, own)
            for mask, own, other in zip(masks, balanced, natural, strict=True)
        )


def _channels(generator: np.random.Generator, width: int, rho: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which of the channels are drawn, ``(D,)``."""
    mask = np.zeros(width, dtype=bool)
    mask[generator.permutation(width)[: int(rho * width)]] = True
    return mask
