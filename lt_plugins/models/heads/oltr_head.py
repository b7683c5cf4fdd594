"""Head of OLTR: a memory of class centroids that enriches features, and a cosine classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads.linear_head import LinearHead
from lt_plugins.models.losses.centroid_loss import squared_distances
from lt_plugins.models.structures import LabelBatch
from lt_plugins.registry import MODELS


@MODELS.register_module()
class OLTRHead(LinearHead):
    r"""Dynamic meta-embedding: features are enriched from a memory of class centroids and classified by cosine.

    A direct feature :math:`v`, the output of the neck, asks the centroids :math:`M` of the classes:

    .. math::
        v_{meta} = \rho \, (v + e \odot o^\top M), \qquad o = \mathrm{softmax}(W_h v + b_h), \quad
        e = \tanh(W_s v + b_s), \quad \rho = \frac{r}{\min_c \|v - M_c\|}

    The hallucinator :math:`W_h, b_h` is ``fc``, a linear classifier, which in stage 2 goes on from that of stage 1; the
    selector is ``selector``. A feature that is far from all centroids, for its length, is embedded as a short one, and
    the classifier lets short ones have low scores:

    .. math::
        z_c = s \, \hat w_c^\top \bar v, \qquad \bar v = \frac{\|v_{meta}\|}{1 + \|v_{meta}\|} \hat v_{meta}

    :math:`\bar v` is what the classifier and post-hoc methods take as the feature. Centroids belong to the centroid
    loss, ``centroid_loss``, whose gradient alone moves them: that of the classification does not reach them.

    Source: Liu et al., "Large-Scale Long-Tailed Recognition in an Open World" (CVPR 2019), Eq. 1 to 4; constants of the
    released code.

    Args:
        num_classes (int): Number of classes ``C``.
        in_channels (int): Length ``D`` of the pooled feature.
        scale (float): Scale ``s`` of the cosines. Defaults to 16.0.
        reach (float): Numerator ``r`` of the reachability. Defaults to 10.0.
        centroid_loss (dict, optional): Config of the loss that holds the centroids, with sizes of this head. Defaults
            to :class:`.CentroidLoss`.
        loss (dict, optional): Config of the loss on the logits. Defaults to cross-entropy.
        init_cfg (dict | list, optional): Initialisation. Defaults to that of PyTorch, uniform within ``1 / sqrt(D)``.

    Raises:
        UserInputError: If ``scale`` or ``reach`` is not positive.

    Examples:
        >>> head = dict(type='OLTRHead', num_classes=1000, in_channels=512)
        >>> custom_hooks = [dict(type='CentroidHook')]
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        scale: float = 16.0,
        reach: float = 10.0,
        centroid_loss: dict | None = None,
        loss: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(
            num_classes=num_classes,
            in_channels=in_channels,
            loss=loss,
            init_cfg=init_cfg or {"type": "TorchDefaultInit", "layer": "Linear"},
        )
        if scale <= 0 or reach <= 0:
            raise UserInputError(f"scale={scale} of the cosines and reach={reach} must be positive.")
        self.scale = scale
        self.reach = reach
        self.selector = nn.Linear(in_channels, in_channels)
        self.cosine = nn.Linear(in_channels, num_classes, bias=False)
        sizes = {"num_classes": num_classes, "in_channels": in_channels}
        self.centroid_loss = MODELS.build({"type": "CentroidLoss", **(centroid_loss or {}), **sizes})

    def pre_logits(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Enrich features by the memory, and squash their lengths.

        Args:
            feats (tuple[Tensor, ...]): Pooled features, the last of shape ``(B, D)``.

        Returns:
            Tensor: Shape ``(B, D)``, of lengths below 1, in float32 even under autocast.
        """
        direct = super().pre_logits(feats)
        with torch.autocast(direct.device.type, enabled=False):
            direct = direct.to(torch.promote_types(direct.dtype, torch.float32))
            centroids = self.centroid_loss.centroids.detach()
            memory = self.fc(direct).softmax(dim=1) @ centroids
            meta = self.reachability(direct) * (direct + self.selector(direct).tanh() * memory)
            return meta / (1 + meta.norm(dim=1, keepdim=True))

    def reachability(self, direct: Tensor) -> Tensor:
        """How near features are to a centroid: ``reach`` divided by the distance to the nearest one.

        Args:
            direct (Tensor): Direct features, shape ``(B, D)``.

        Returns:
            Tensor: Shape ``(B, 1)``; finite for a feature that is a centroid.
        """
        centroids = self.centroid_loss.centroids.detach()
        with torch.no_grad():
            nearest = centroids[squared_distances(direct, centroids).argmin(dim=1)]
        distance = (direct - nearest).norm(dim=1, keepdim=True)
        return self.reach / distance.clamp(min=torch.finfo(distance.dtype).eps)

    def classify(self, features: Tensor) -> Tensor:
        """Compute the scaled and squashed cosines.

        Args:
            features (Tensor): What :meth:`pre_logits` gives, shape ``(B, D)``.

        Returns:
            Tensor: Logits ``(B, C)``, in float32 even under autocast.
        """
        with torch.autocast(features.device.type, enabled=False):
            return F.linear(features, self._scaled_weight())

    def affine(self) -> tuple[Tensor, Tensor]:
        r"""Weights :math:`s \hat W`, of the enriched and squashed features, and biases of 0."""
        weight = self._scaled_weight().detach()
        return weight, weight.new_zeros(len(weight))

    def loss(self, feats: tuple[Tensor, ...], data_samples: Sequence[DataSample], **kwargs: Any) -> dict[str, Tensor]:
        """Compute the losses of a batch.

        Args:
            feats (tuple[Tensor, ...]): Pooled features, the last of shape ``(B, D)``.
            data_samples (Sequence[DataSample]): Annotations of the ``B`` images.
            **kwargs (Any): For the loss on the logits.

        Returns:
            dict[str, Tensor]: ``loss`` of the logits, and ``loss_centroid`` of the direct features.
        """
        logits = self(feats)
        samples = LabelBatch.from_samples(data_samples, logits.device)
        losses = self._get_loss(logits, samples, **kwargs)
        return {**losses, "loss_centroid": self.centroid_loss(feats[-1], logits, samples)}

    def _scaled_weight(self) -> Tensor:
        return self.scale * F.normalize(self.cosine.weight, dim=1)
