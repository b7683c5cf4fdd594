"""Classifier that trains its head on features that stay as they are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from lt_plugins.errors import UserInputError
from lt_plugins.registry import MODELS

LINEAR_LAYER = re.compile(r"(experts\.\d+\.)?fc")  # of a head, or of each expert


@MODELS.register_module()
class FrozenBackboneClassifier(ImageClassifier):
    """An image classifier whose backbone and neck are frozen: the second stage of decoupled training.

    Initialised from the checkpoint of stage 1 (as ``stage2`` of a config, or by ``load_from``), of which it takes
    backbone and neck only: the head starts anew, even where stage 1 has one of the same shape, unless ``reuse_head``
    asks for its linear layer. Parts of the head that make features (named in its ``feature_parts``, such as the latent
    pool of an ``LCRegHead``) count as backbone. Resuming and testing read all of a checkpoint, as ever. Of a head that
    reads a batch in several parts (its ``num_parts``), batch norms in training mode see each part alone.

    Source: Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition" (ICLR 2020). The
    published numbers of cRT, MiSLAS, TSC and of SBCL on ImageNet-LT come from codes whose batch norms go on in training
    mode during stage 2, which is ``norm_eval=False``; SBCL on CIFAR keeps all statistics.

    Args:
        backbone (dict): Config of the backbone.
        head (dict): Config of the head, which alone is trained.
        neck (dict, optional): Config of the neck; ``[]`` for none. Defaults to global average pooling.
        norm_eval (bool): Whether the batch norms of backbone and neck stay in evaluation mode, so that they keep the
            statistics of stage 1. With False they normalise by the batch and their running statistics follow the images
            of this stage, except where the backbone keeps its own (``frozen_stages``, ``LastBlockResNet``). Defaults to
            True.
        reuse_head (bool): Whether the linear layer ``head.fc`` goes on from that of stage 1, as in MiSLAS; of a
            ``MultiExpertHead`` those of all experts. Whatever else the head has, such as the scale of an
            ``LWSClsHead``, starts anew. Defaults to False.
        train_cfg (dict, optional): ``augments`` (Mixup, CutMix) and ``probs`` of whole batches, as of mmpretrain's
            ``ImageClassifier``. Defaults to None.
        data_preprocessor (dict, optional): Arguments of :class:`ImageBatchPreprocessor`.
        init_cfg (dict, optional): Initialisation.

    Raises:
        UserInputError: If the head to reuse has no linear layer ``fc``.

    Examples:
        >>> model = dict(type='FrozenBackboneClassifier', backbone=dict(type='CIFARResNet'),
        ...              head=dict(type='CosineClsHead', num_classes=100, in_channels=64,
        ...                        loss=dict(type='LDAMLoss')))
    """

    def __init__(
        self,
        backbone: dict,
        head: dict,
        neck: dict | list | None = None,
        norm_eval: bool = True,
        reuse_head: bool = False,
        train_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            backbone=backbone,
            neck={"type": "GlobalAveragePooling"} if neck is None else neck,
            head=head,
            train_cfg=train_cfg,
            data_preprocessor={"type": "ImageBatchPreprocessor", **(data_preprocessor or {})},
            init_cfg=init_cfg,
        )
        linear_layers = [f"head.{name}" for name, _ in self.head.named_modules() if LINEAR_LAYER.fullmatch(name)]
        if reuse_head and not linear_layers:
            raise UserInputError(
                f"reuse_head=True takes the linear layer fc of stage 1, but {type(self.head).__name__} has none; "
                "set reuse_head=False or use a head like LinearHead."
            )
        self.norm_eval = norm_eval
        self.reuse_head = reuse_head
        feature_parts = [f"head.{name}" for name in getattr(self.head, "feature_parts", ())]
        kept = ["backbone", "neck", *feature_parts, *(linear_layers if reuse_head else [])]
        # What CheckpointFitHook demands and leaves of a checkpoint that initialises this model.
        self.initialised_parts = tuple(f"{name}." for name in kept)
        # Before the model is wrapped, so that DistributedDataParallel waits for gradients of the head only.
        for name in ("backbone", "neck", *feature_parts):
            self.get_submodule(name).requires_grad_(False)

    def train(self, mode: bool = True) -> FrozenBackboneClassifier:
        """Switch the head; of the frozen parts at most the batch norms follow.

        Args:
            mode (bool): Whether to train. Defaults to True.
        """
        super().train(mode)
        for part in (self.backbone, self.neck):
            part.train(mode and not self.norm_eval)  # the backbone may leave some of its batch norms as they are
            for module in part.modules():
                if not isinstance(module, _BatchNorm):
                    module.training = False
        return self

    def extract_feat(self, inputs: Tensor, stage: str = "neck") -> Any:
        """Compute features; those of backbone and neck carry no gradient.

        Args:
            inputs (Tensor): Preprocessed images, shape ``(B, 3, H, W)``; or what the neck gives for them, ``(B, D)``,
                as :class:`.FeatureCacheHook` computes it once.
            stage (str): ``"backbone"``, ``"neck"`` or ``"pre_logits"``, as in mmpretrain. Defaults to ``"neck"``.

        Returns:
            tuple[Tensor, ...] | Tensor: The output of the stage.

        Raises:
            UserInputError: If an image comes as several views.
        """
        if not isinstance(inputs, Tensor):
            raise UserInputError(
                f"{type(self).__name__} trains on one view of each image and got {len(inputs)}; "
                "remove MultiView from the train pipeline."
            )
        if stage == "pre_logits":
            return self.head.pre_logits(self.extract_feat(inputs))
        if inputs.ndim == 2 and stage == "neck":
            return (inputs,)
        with torch.no_grad():
            return super().extract_feat(inputs, stage)

    def loss(self, inputs: Tensor, data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute the losses of the head.

        Args:
            inputs (Tensor): Preprocessed images, shape ``(B, 3, H, W)``.
            data_samples (Sequence[DataSample]): Annotations of the ``B`` images.

        Returns:
            dict[str, Tensor]: Those of the head.
        """
        num_parts = 1 if self.norm_eval else getattr(self.head, "num_parts", 1)
        if num_parts == 1:
            return super().loss(inputs, data_samples)
        parts = [self.extract_feat(part) for part in inputs.chunk(num_parts)]
        return self.head.loss(tuple(torch.cat(maps) for maps in zip(*parts, strict=True)), data_samples)
