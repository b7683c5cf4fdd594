"""Cosine classifier that generates the weights of few-shot classes from their images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from mmpretrain.structures import DataSample
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads.cosine_cls_head import CosineClsHead
from lt_plugins.models.heads.few_shot_weights import FewShotWeightGenerator
from lt_plugins.models.structures import LabelBatch
from lt_plugins.registry import MODELS


@MODELS.register_module()
class FSLwFHead(CosineClsHead):
    r"""Few-shot learning without forgetting: learned weights of base classes, generated ones of the others.

    Logits are cosines with a learned scale. The weights of base classes are parameters; those of the other, novel
    classes are what a :class:`.FewShotWeightGenerator` makes of all their training images. It learns from episodes: of
    a few base classes, which play novel ones, the weights are generated from some images (exemplars) and then compete
    with those of the remaining base classes on other images (queries). Real novel classes take no part in an episode.

    ``FewShotWeightHook`` tells the head which classes are base and how an episode is laid out, both as the
    ``EpisodicSampler`` has it, and generates the weights of the novel ones at the end of each epoch. They are the
    buffer ``novel_weight``, by which the head predicts, so that a checkpoint needs no training images. Before, all
    classes are base.

    It is the head of a second stage: its base weights and scale go on from a :class:`.CosineClsHead` with
    ``learn_scale`` (``reuse_head`` of :class:`.FrozenBackboneClassifier`).

    Source: Gidaris & Komodakis, "Dynamic Few-Shot Visual Learning without Forgetting" (CVPR 2018). Their code adds a
    learned bias to all logits alike, which changes no probability, and is left out.

    Attributes:
        is_base (Tensor): Base classes, a buffer, bool ``(C,)``.
        novel_weight (Tensor): Generated weights, a buffer ``(C, D)``, of which the rows of novel classes are read.

    Args:
        num_classes (int): Number of classes ``C``.
        in_channels (int): Length of the pooled feature.
        scale (float): First scale of the cosines. Defaults to 10.0.
        attention (bool): Whether the generator attends to the base classes, or averages features only. Defaults to
            True.
        attention_scale (float): First scale of the attention; 30 for the many base classes of ImageNet in the released
            code. Defaults to 10.0.
        loss (dict, optional): Config of the loss on the logits, in which absent classes have minus infinity. Defaults
            to cross-entropy.
        init_cfg (dict, optional): Initialisation of the base weights, as of :class:`.CosineClsHead`.

    Raises:
        UserInputError: If a scale is not positive; in training, if a batch is not made of whole episodes.

    Examples:
        >>> stage2 = dict(
        ...     model=dict(type='FrozenBackboneClassifier', reuse_head=True, head=dict(type='FSLwFHead')),
        ...     train_dataloader=dict(batch_size=55, sampler=dict(_delete_=True, type='EpisodicSampler')),
        ...     custom_hooks=[dict(type='FewShotWeightHook')])
    """

    needs_hook: ClassVar[dict[str, Any]] = {"type": "FewShotWeightHook"}
    is_base: Tensor
    novel_weight: Tensor

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        scale: float = 10.0,
        attention: bool = True,
        attention_scale: float = 10.0,
        loss: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            num_classes,
            in_channels,
            scale,
            learn_scale=True,
            loss=loss,
            init_cfg=init_cfg
            or {"type": "Uniform", "layer": "NormProduct", "a": -1.0, "b": 1.0},  # the classifier alone
        )
        if attention_scale <= 0:
            raise UserInputError(f"attention_scale={attention_scale} must be positive, like 10.")
        self.generator = FewShotWeightGenerator(num_classes, in_channels, attention, attention_scale)
        self.register_buffer("is_base", torch.ones(num_classes, dtype=torch.bool))
        self.register_buffer("novel_weight", torch.zeros(num_classes, in_channels))
        self._episode: tuple[int, int] | None = None

    def set_episodes(self, base_classes: Sequence[int], num_exemplars: int, num_queries: int) -> None:
        """Say which classes are base, and how an episode is laid out: exemplars, then queries.

        Args:
            base_classes (Sequence[int]): The base classes.
            num_exemplars (int): Exemplars of an episode, of all its classes.
            num_queries (int): Queries of an episode.

        Raises:
            UserInputError: If there is no base class, or one that the head does not have.
        """
        chosen = torch.as_tensor(base_classes, dtype=torch.int64)
        if not len(chosen) or not 0 <= int(chosen.min()) <= int(chosen.max()) < self.num_classes:
            raise UserInputError(
                f"base_classes={list(base_classes)} of FSLwFHead must be classes from 0 to {self.num_classes - 1}."
            )
        self.is_base.zero_()[chosen] = True
        self._episode = num_exemplars, num_queries

    @torch.no_grad()
    def set_novel_weight(self, features: Tensor, labels: Tensor) -> None:
        """Generate the weights of classes from all their images; a class without any keeps that of the classifier.

        Args:
            features (Tensor): What :meth:`pre_logits` gives, shape ``(S, D)``.
            labels (Tensor): Classes, int64 ``(S,)``.
        """
        has_images = torch.zeros_like(self.is_base).index_fill(0, labels, True)
        generated = self._generate(features, labels, self.is_base)
        self.novel_weight.copy_(torch.where(has_images[:, None], generated, self.fc.weight))

    def class_weight(self) -> Tensor:
        """Weights of all classes, of any length, shape ``(C, D)``."""
        return torch.where(self.is_base[:, None], self.fc.weight, self.novel_weight)

    def classify(self, features: Tensor) -> Tensor:
        """Compute the scaled cosines to base and generated weights.

        Args:
            features (Tensor): Pooled features, shape ``(B, in_channels)``.

        Returns:
            Tensor: Logits ``(B, C)``, in float32 even under autocast.
        """
        return self._scaled_cosines(features, self.class_weight())

    def loss(self, feats: tuple[Tensor, ...], data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute the loss of the queries of one or more episodes.

        Args:
            feats (tuple[Tensor, ...]): Pooled features, the last of shape ``(B, in_channels)``.
            data_samples (Sequence[DataSample]): Annotations of the ``B`` images.

        Returns:
            dict[str, Tensor]: ``loss``.

        Raises:
            UserInputError: If the head does not know the layout of an episode, or the batch is not made of them.
        """
        if self._episode is None:
            raise UserInputError(
                "FSLwFHead learns from episodes; let dict(type='EpisodicSampler') draw the images "
                "(train_dataloader.sampler) and add dict(type='FewShotWeightHook') to custom_hooks."
            )
        num_exemplars, size = self._episode[0], sum(self._episode)
        features, labels = self.pre_logits(feats), LabelBatch.from_samples(data_samples).one_label_each
        if len(labels) % size:
            raise UserInputError(
                f"a batch of {len(labels)} images is not made of episodes of {size}; set train_dataloader.batch_size "
                f"to {size}, or a multiple of it."
            )
        episodes = [
            self.episode_logits(rows[:num_exemplars], classes[:num_exemplars], rows[num_exemplars:])
            for rows, classes in zip(features.split(size), labels.split(size), strict=True)
        ]
        targets = labels.view(-1, size)[:, num_exemplars:].flatten()
        return self._get_loss(torch.cat(episodes), LabelBatch(targets))

    def episode_logits(self, exemplars: Tensor, labels: Tensor, queries: Tensor) -> Tensor:
        """Compute the logits of an episode.

        Args:
            exemplars (Tensor): Features of exemplars, shape ``(S, D)``.
            labels (Tensor): Their classes, int64 ``(S,)``, which play novel ones.
            queries (Tensor): Features of queries, shape ``(Q, D)``.

        Returns:
            Tensor: Logits ``(Q, C)``, minus infinity for classes that are neither base nor of an exemplar.
        """
        is_novel = torch.zeros_like(self.is_base).index_fill(0, labels, True)
        is_base = self.is_base & ~is_novel
        weight = torch.where(is_novel[:, None], self._generate(exemplars, labels, is_base), self.fc.weight)
        return self._scaled_cosines(queries, weight).masked_fill(~(is_base | is_novel), -torch.inf)

    def affine(self) -> tuple[Tensor, Tensor]:
        r"""Weights :math:`s \hat W`, of the directions of the features, and biases of 0."""
        weight = (self.logit_scale * F.normalize(self.class_weight())).detach()
        return weight, weight.new_zeros(len(weight))

    def trained_prior(self, sampled: Tensor) -> Tensor:
        """Class prior that the logits answer for: uniform, since episodes draw classes equally often.

        Args:
            sampled (Tensor): How often each class came in training, shares of shape ``(C,)``.

        Returns:
            Tensor: Shape ``(C,)``.
        """
        return torch.full_like(sampled, 1 / len(sampled))

    def _generate(self, features: Tensor, labels: Tensor, is_base: Tensor) -> Tensor:
        """Generated weights ``(C, D)``, in float32 even under autocast."""
        with torch.autocast(features.device.type, enabled=False):
            exemplars = F.normalize(features.to(torch.promote_types(features.dtype, torch.float32)))
            return self.generator(exemplars, labels, F.normalize(self.fc.weight), is_base)

    def _scaled_cosines(self, features: Tensor, weight: Tensor) -> Tensor:
        """Scaled cosines ``(B, C)``, in float32 even under autocast."""
        with torch.autocast(features.device.type, enabled=False):
            features = features.to(torch.promote_types(features.dtype, torch.float32))
            return self.logit_scale * F.linear(F.normalize(features), F.normalize(weight))
