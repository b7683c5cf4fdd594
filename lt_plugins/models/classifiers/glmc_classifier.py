"""Global and local mixture consistency: two mixtures of the same images, whose features are to agree."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor

from lt_plugins.augmentation.cutmix_box import cutmix_box
from lt_plugins.errors import UserInputError
from lt_plugins.models.classifiers.environments import check_environments
from lt_plugins.models.structures import LabelBatch, StepDraws
from lt_plugins.registry import MODELS


@MODELS.register_module()
class GLMCClassifier(StepDraws, ImageClassifier):
    r"""Global and local mixture consistency (GLMC): Mixup and CutMix of the same images, with features that agree.

    A batch has two parts of one size, as ``CompanionBatchSampler`` makes them, natural images and companions, and two
    views of each image. The first views are mixed by Mixup, the second ones by CutMix, each natural image with the
    companion at its place, and with one share :math:`\lambda \sim \mathrm{Beta}(a, a)` a step:

    .. math::
        x^g = \lambda x_1 + (1 - \lambda) x'_1, \qquad
        x^l = M \odot x_2 + (1 - M) \odot x'_2, \qquad y = \lambda y + (1 - \lambda) y'

    where the box :math:`M = 0` of the sides :math:`\sqrt{1 - \lambda}` is clipped at the borders. The network passes
    each mixture by itself, with batch statistics of its own. The loss is that of a :class:`.GLMCHead` for both, and

    .. math::
        L_{con} = -\omega \frac{1}{B} \sum_i \big[ \cos(h(g_i^g), \mathrm{sg}(g_i^l))
            + \cos(h(g_i^l), \mathrm{sg}(g_i^g)) \big]

    of the projections :math:`g` and the predictions :math:`h(g)`, where sg stops the gradient. As released, the labels
    of CutMix have the share :math:`\lambda` though the clipped box is smaller; ``corrected_share`` gives them that of
    the pixels. Share and box are one draw a step for all images and processes.

    Source: Du et al., "Global and Local Mixture Consistency Cumulative Learning for Long-tailed Visual Recognitions"
    (CVPR 2023), and its released code, from which the loss of consistency and the rounding of the box are.

    Args:
        backbone (dict): Config of the backbone.
        projector (dict): Config of the projector :math:`g` of pooled features; one linear layer as released.
        predictor (dict): Config of the predictor :math:`h` of projections, which leaves their length as it is; one
            linear layer as released.
        head (dict): Config of the head, a :class:`.GLMCHead` for the whole method.
        neck (dict | list, optional): Config of the neck; ``[]`` for none. Defaults to global average pooling.
        mixup_alpha (float): Parameter :math:`a` of the beta distribution. Defaults to 1.0, as released: its option
            ``--beta`` has no effect.
        consistency_weight (float): Weight :math:`\omega`. Defaults to 4.0, of CIFAR-100-LT with an imbalance factor of
            100.
        corrected_share (bool): Whether labels of CutMix follow the area of the clipped box. Defaults to False.
        data_preprocessor (dict, optional): Arguments of :class:`ImageBatchPreprocessor`.
        init_cfg (dict, optional): Initialisation.

    Raises:
        UserInputError: If a number is out of range or a loss takes one label an image; in training, if there are not
            two views, or a batch has an odd number of images.

    Examples:
        >>> linear = dict(type='MLPProjector', hidden_channels=128, out_channels=128, num_layers=1)
        >>> model = dict(type='GLMCClassifier', backbone=dict(type='CIFARResNet', base_channels=64),
        ...              projector=dict(**linear, in_channels=256), predictor=dict(**linear, in_channels=128),
        ...              head=dict(type='GLMCHead', num_classes=100, in_channels=256))
        >>> train_dataloader = dict(batch_sampler=dict(
        ...     type='CompanionBatchSampler', companions=[dict(type='ClassBalancedSampler', power=1.0)]))
    """

    num_environments = 2  # natural images and their companions

    def __init__(
        self,
        backbone: dict,
        projector: dict,
        predictor: dict,
        head: dict,
        neck: dict | list | None = None,
        mixup_alpha: float = 1.0,
        consistency_weight: float = 4.0,
        corrected_share: bool = False,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        if not 0 < mixup_alpha < math.inf:
            raise UserInputError(f"mixup_alpha={mixup_alpha} must be positive, like 1.")
        if not 0 <= consistency_weight < math.inf:
            raise UserInputError(f"consistency_weight={consistency_weight} must be 0 or more, like 4.")
        super().__init__(
            backbone=backbone,
            neck={"type": "GlobalAveragePooling"} if neck is None else neck,
            head=head,
            data_preprocessor={"type": "ImageBatchPreprocessor", **(data_preprocessor or {})},
            init_cfg=init_cfg,
        )
        for module in self.head.modules():
            if getattr(module, "needs_one_label", False):
                raise UserInputError(
                    f"{type(module).__name__} takes one label an image, and GLMCClassifier mixes images; use another "
                    "loss."
                )
        self.projector = MODELS.build(projector)
        self.predictor = MODELS.build(predictor)
        self.mixup_alpha = mixup_alpha
        self.consistency_weight = consistency_weight
        self.corrected_share = corrected_share

    def loss(self, inputs: Sequence[Tensor], data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute the losses of a batch.

        Args:
            inputs (Sequence[Tensor]): The two views, each of shape ``(2B, 3, H, W)``: natural images, then companions.
            data_samples (Sequence[DataSample]): Annotations of the ``2B`` images.

        Returns:
            dict[str, Tensor]: Those of the head for both mixtures, added up, and ``loss_consistency``.

        Raises:
            UserInputError: If there are not exactly two views, or the batch has an odd number of images.
        """
        if isinstance(inputs, Tensor) or len(inputs) != 2:
            found = "a single view" if isinstance(inputs, Tensor) else f"{len(inputs)} views"
            raise UserInputError(
                f"GLMCClassifier trains on two views of each image and got {found}; put a MultiView transform with two "
                "views into the train pipeline."
            )
        check_environments(data_samples, self.num_environments)
        labels = LabelBatch.from_samples(data_samples, inputs[0].device).one_label_each
        losses: dict[str, Tensor] = {}
        projections, predictions = [], []
        for images, scores in self.mix(inputs, labels):
            feats = self.extract_feat(images)
            for name, value in self.head.loss(feats, LabelBatch(scores=scores)).items():
                losses[name] = losses[name] + value if name in losses else value
            projections.append(self.projector(feats[-1:])[-1])
            predictions.append(self.predictor(projections[-1:])[-1])
        losses["loss_consistency"] = self.consistency_weight * negative_similarity(predictions, projections)
        return losses

    def mix(self, views: Sequence[Tensor], labels: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Mix the natural images of a batch with their companions, by the share and the box of this step.

        Args:
            views (Sequence[Tensor]): The two views, each of shape ``(2B, 3, H, W)``.
            labels (Tensor): Classes of the images, int64 ``(2B,)``.

        Returns:
            list[tuple[Tensor, Tensor]]: By Mixup and by CutMix: images ``(B, 3, H, W)``, and shares of the classes
            ``(B, C)``.
        """
        height, width = views[0].shape[-2:]
        share, centre = self.draw(
            lambda generator: (
                float(generator.beta(self.mixup_alpha, self.mixup_alpha)),
                (int(generator.integers(height)), int(generator.integers(width))),
            )
        )
        box = cutmix_box(height, width, 1 - share, centre, round_up=True)
        (natural, companions), (pasted, others) = (view.chunk(2) for view in views)
        pasted = pasted.clone()
        pasted[..., box.rows, box.columns] = others[..., box.rows, box.columns]
        classes = torch.arange(self.head.num_classes, device=labels.device)
        own, other = (labels[:, None] == classes).to(natural.dtype).chunk(2)
        cut_share = 1 - box.share if self.corrected_share else share
        return [
            (share * natural + (1 - share) * companions, share * own + (1 - share) * other),
            (pasted, cut_share * own + (1 - cut_share) * other),
        ]


def negative_similarity(predictions: Sequence[Tensor], projections: Sequence[Tensor]) -> Tensor:
    """Negative cosine of each prediction and the projection of the other view, as of SimSiam: mean over the images.

    Args:
        predictions (Sequence[Tensor]): Of two views, each of shape ``(B, P)``.
        projections (Sequence[Tensor]): Of the same views, each of shape ``(B, P)``; they get no gradient.

    Returns:
        Tensor: Sum over both views, from -2 to 2, in float32 (or float64, if they are).
    """
    similarities = [
        F.cosine_similarity(_exact(prediction), _exact(projection.detach()), dim=1).mean()
        for prediction, projection in zip(predictions, reversed(projections), strict=True)
    ]
    return -torch.stack(similarities).sum()


def _exact(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))
