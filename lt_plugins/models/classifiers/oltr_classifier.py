"""Classifier of the second stage of OLTR."""

from __future__ import annotations

from mmpretrain.models import ImageClassifier

from lt_plugins.models.necks import ModulatedAttention
from lt_plugins.registry import MODELS


@MODELS.register_module()
class OLTRClassifier(ImageClassifier):
    """An image classifier that goes on from a first stage, with a modulated attention and a memory of centroids.

    As ``stage2`` of a config (or by ``load_from``) it takes backbone, neck and the linear classifier of the checkpoint,
    ``head.fc``, which becomes the hallucinator of an :class:`.OLTRHead`; all of them must fit. A
    :class:`.ModulatedAttention` in the neck starts anew, as does the rest of the head.

    Source: Liu et al., "Large-Scale Long-Tailed Recognition in an Open World" (CVPR 2019). In the released code a
    frozen backbone, that of Places-LT, has its batch norms in training mode.

    Args:
        backbone (dict): Config of the backbone.
        head (dict): Config of the head, an :class:`.OLTRHead`.
        neck (dict | list): Config of the neck, a :class:`.ModulatedAttention` in place of the pooling of stage 1; of a
            list, each part at the place that it has in stage 1.
        freeze_backbone (bool): Whether the weights of the backbone stay. Defaults to False.
        train_cfg (dict, optional): As of mmpretrain's ``ImageClassifier``. Defaults to None.
        data_preprocessor (dict, optional): Arguments of :class:`ImageBatchPreprocessor`.
        init_cfg (dict, optional): Initialisation.

    Examples:
        >>> model = dict(type='OLTRClassifier', backbone=dict(type='CIFARResNet'),
        ...              neck=dict(type='ModulatedAttention', in_channels=64, map_size=8),
        ...              head=dict(type='OLTRHead', num_classes=100, in_channels=64))
    """

    def __init__(
        self,
        backbone: dict,
        head: dict,
        neck: dict | list,
        freeze_backbone: bool = False,
        train_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            backbone=backbone,
            neck=neck,
            head=head,
            train_cfg=train_cfg,
            data_preprocessor={"type": "ImageBatchPreprocessor", **(data_preprocessor or {})},
            init_cfg=init_cfg,
        )
        # Before the model is wrapped, so that DistributedDataParallel waits for no gradient of it.
        self.backbone.requires_grad_(not freeze_backbone)
        parts = {"neck": self.neck}
        if not isinstance(neck, dict):
            parts = {f"neck.{name}": part for name, part in self.neck.named_children()}
        kept = [name for name, part in parts.items() if not isinstance(part, ModulatedAttention)]
        # What CheckpointFitHook demands and leaves of a checkpoint that initialises this model.
        self.initialised_parts = tuple(f"{name}." for name in ("backbone", "head.fc", *kept))
