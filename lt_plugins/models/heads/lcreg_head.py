"""Classifier of image features beside their reconstruction from latent categories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads.latent_pool import LatentPool
from lt_plugins.models.heads.lws_cls_head import LWSClsHead
from lt_plugins.models.losses import LatentISDALoss, ReconstructionLoss
from lt_plugins.registry import MODELS

FUSIONS = ("add", "concat", "none", "recon")


class LatentView(NamedTuple):
    """Image features as seen through the latent categories, for ``P`` places of ``B`` images.

    Args:
        features (Tensor): Image features, shape ``(B, P, D)``.
        latents (Tensor): Encoded latent features, shape ``(M, D)``.
        assignment (Tensor): Weights of the latent categories at each place, shape ``(B, P, M)``.
    """

    features: Tensor
    latents: Tensor
    assignment: Tensor

    def reconstruct(self) -> Tensor:
        """Image features rebuilt from the latent ones (Eq. 3), shape ``(B, P, D)``."""
        return self.assignment @ self.latents.to(self.assignment)


@MODELS.register_module()
class LCRegHead(LWSClsHead):
    r"""Latent categories shared by all classes (LCReg): classify, reconstruct, and augment in the latent space.

    .. math::
        S^m = \sigma(f^\top f'_m), \quad \hat S = \mathrm{softmax}_m(S), \quad \hat f = \sum_m \hat S^m f'_m, \quad
        L = \alpha L_{aug} + \beta L_{recon} + L_{cls}

    It reads feature maps, so the model has no neck (``neck=[]``, which averages nothing). The second stage uses the
    same head with ``recon_weight=0, aug_weight=0, learn_scale=True`` and label-aware smoothing in a
    :class:`.FrozenBackboneClassifier`, which takes over and freezes the latent pool (named in
    ``feature_parts``) along with the backbone.

    No code was published; what the paper leaves open is decided as follows (``docs/lcreg.md`` says why):

    * The 1x1 layer maps to ``D`` in Eq. 1 and 3 and to ``M`` classes in Eq. 6, which one layer cannot: ``latent_pool``
      encodes latent features, ``latent_fc`` classifies the encoded ones.
    * How latent categories enter the prediction: ``fuse``.
    * Sigmoid and softmax in a row (Eq. 2) leave nearly even weights: ``sim_temperature``.
    * What Eq. 4 means, and its scale: :class:`~lt_plugins.models.losses.ReconstructionLoss`. The features in it keep
      their gradient; mixed images are reconstructed like others, since latent categories know no classes.
    * Eq. 6 and its covariances: :class:`~lt_plugins.models.losses.LatentISDALoss`. Latent features are not also
      perturbed by sampling: the bound makes that unnecessary.

    Source: "Long-Tailed Recognition by Learning from Latent Categories" (LCReg), Eq. 1 to 7.

    Args:
        num_classes (int): Number of classes ``C``.
        in_channels (int): Channels of the feature map ``D``.
        num_latents (int): Number of latent categories ``M``. Defaults to 50.
        fuse (str): What is averaged over places and classified: ``"add"``, features plus their reconstruction;
            ``"concat"``, both side by side; ``"none"``, the features (the paper's text, though latent categories could
            then not change accuracy by themselves, as in its Table 4); ``"recon"``, the reconstruction. Defaults to
            ``"add"``.
        sim_temperature (float): See :class:`LatentPool`. Defaults to 1.0.
        recon_loss (dict, optional): Settings of the reconstruction loss. Defaults to ``ReconstructionLoss``.
        recon_weight (float): Its weight :math:`\beta`; 0 leaves it out. Defaults to 0.1.
        aug_loss (dict, optional): Settings of the latent augmentation loss. Defaults to ``LatentISDALoss``, which needs
            ``CovarianceHook``.
        aug_weight (float): Its weight :math:`\alpha`; 0 leaves it out. Defaults to 0.1.
        learn_scale (bool): Whether the scale of each class's logit is trained (learnable weight scaling). Defaults to
            False: the scale stays 1.
        loss (dict, optional): Config of the classification loss. Defaults to cross-entropy.
        init_cfg (dict, optional): Initialisation of the classifier, as in :class:`LWSClsHead`.

    Raises:
        UserInputError: If ``fuse`` is unknown, or a weight is negative.

    Examples:
        >>> model = dict(type='ImageClassifier', backbone=dict(type='CIFARResNet'),
        ...              head=dict(type='LCRegHead', num_classes=100, in_channels=64, num_latents=50))
    """

    feature_parts = ("latent_pool",)
    reads_maps = True  # so another backbone brings no pooling

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        num_latents: int = 50,
        fuse: Literal["add", "concat", "none", "recon"] = "add",
        sim_temperature: float = 1.0,
        recon_loss: dict | None = None,
        recon_weight: float = 0.1,
        aug_loss: dict | None = None,
        aug_weight: float = 0.1,
        learn_scale: bool = False,
        loss: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        if fuse not in FUSIONS:
            raise UserInputError(f"fuse={fuse!r} is unknown; choose one of {', '.join(FUSIONS)}.")
        if min(recon_weight, aug_weight) < 0:
            raise UserInputError(f"recon_weight={recon_weight} and aug_weight={aug_weight} must be 0 or more.")
        super().__init__(num_classes, in_channels * (2 if fuse == "concat" else 1), loss=loss, init_cfg=init_cfg)
        self.fuse = fuse
        self.recon_weight = recon_weight
        self.aug_weight = aug_weight
        self.scale.requires_grad_(learn_scale)
        self.latent_pool = LatentPool(num_latents, in_channels, sim_temperature)
        self.recon_loss_module: ReconstructionLoss | None = None
        self.aug_loss_module: LatentISDALoss | None = None
        if recon_weight:
            self.recon_loss_module = MODELS.build({"type": "ReconstructionLoss", **(recon_loss or {})})
        if aug_weight:
            sizes = {"num_latents": num_latents, "channels": in_channels}
            self.aug_loss_module = MODELS.build({"type": "LatentISDALoss", **(aug_loss or {}), **sizes})
            self.latent_fc = nn.Linear(in_channels, num_latents)

    def init_weights(self) -> None:
        """Initialise the classifier as configured; the latent parts keep an initialisation of their own."""
        super().init_weights()
        self.latent_pool.reset_parameters()
        if self.aug_loss_module is not None:
            self.latent_fc.reset_parameters()

    def view_latents(self, feats: tuple[Tensor, ...]) -> LatentView:
        """Compare each place of a feature map with the latent categories.

        Args:
            feats (tuple[Tensor, ...]): Feature maps, the last of shape ``(B, D, H, W)``.

        Raises:
            UserInputError: If it is no map.
        """
        if feats[-1].ndim != 4:
            raise UserInputError(
                f"LCRegHead reads feature maps (B, D, H, W) and got {tuple(feats[-1].shape)}; remove the neck of the "
                "model (neck=[])."
            )
        features = feats[-1].flatten(2).mT  # (B, P, D)
        latents = self.latent_pool()
        return LatentView(features, latents, self.latent_pool.assign(features, latents))

    def pre_logits(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Pooled features that are classified.

        Args:
            feats (tuple[Tensor, ...]): Feature maps, the last of shape ``(B, D, H, W)``.

        Returns:
            Tensor: Shape ``(B, D)``, with ``fuse='concat'`` ``(B, 2 D)``.
        """
        return self._pool(self.view_latents(feats))

    def loss(self, feats: tuple[Tensor, ...], data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute the losses of a batch, each with its weight.

        Args:
            feats (tuple[Tensor, ...]): Feature maps, the last of shape ``(B, D, H, W)``.
            data_samples (Sequence[DataSample]): Annotations of the ``B`` images.

        Returns:
            dict[str, Tensor]: ``loss_cls``, and ``loss_recon`` and ``loss_aug`` if they have a weight.
        """
        view = self.view_latents(feats)
        losses = self._get_loss(self.scale * self.fc(self._pool(view)), data_samples)
        losses["loss_cls"] = losses.pop("loss")
        if self.recon_loss_module is not None:
            losses["loss_recon"] = self.recon_weight * self.recon_loss_module(view.reconstruct(), view.features)
        if self.aug_loss_module is not None:
            self.aug_loss_module.observe(view.features, view.assignment)
            loss = self.aug_loss_module(view.latents, self.latent_fc.weight, self.latent_fc.bias)
            losses["loss_aug"] = self.aug_weight * loss
        return losses

    @torch.no_grad()
    def update_covariance(self) -> None:
        """Let the last iteration enter the covariances of the latent categories; called by ``CovarianceHook``."""
        if self.aug_loss_module is not None:
            self.aug_loss_module.update(self.latent_pool())

    def _pool(self, view: LatentView) -> Tensor:
        features = view.features.mean(dim=1)
        if self.fuse == "none":
            return features
        # The mean of the reconstruction is the reconstruction by the mean weights.
        reconstructed = view.assignment.mean(dim=1) @ view.latents.to(view.assignment)
        if self.fuse == "recon":
            return reconstructed
        if self.fuse == "concat":
            return torch.cat([features, reconstructed.to(features)], dim=1)
        return features + reconstructed
