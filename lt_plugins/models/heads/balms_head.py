"""Linear head of BALMS, which learns how often to draw each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from mmpretrain.structures import DataSample
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads.linear_head import LinearHead
from lt_plugins.models.losses.long_tail_loss import LongTailLoss
from lt_plugins.models.structures import LabelBatch, LooksAhead
from lt_plugins.models.structures.learned_sampling import LearnedSampling, soft_selection
from lt_plugins.models.structures.look_ahead import Parameters, detached, meta_gradient, trained_parameters
from lt_plugins.registry import MODELS


@MODELS.register_module()
class BALMSHead(LooksAhead, LinearHead):
    r"""Linear head of BALMS: balanced softmax, and a meta sampler that learns how often to draw each class.

    .. math::
        \theta' = s\Big(\nabla_\theta \frac{1}{B} \sum_b r_b(\psi)^{st} \, \ell(\theta; x_b, y_b)\Big), \qquad
        \psi \leftarrow \mathrm{Adam}\big(\nabla_\psi \, \mathrm{CE}_{meta}(\theta'(\psi))\big)

    with the soft probability :math:`r_b` of a drawn image (:func:`.soft_selection`), taken straight through: its value
    is 1, its gradient that of the Gumbel-softmax. The step :math:`s` of the classifier :math:`\theta` is that of SGD
    with momentum and weight decay. Then the classifier learns from the mean loss of the batch. A
    :class:`.MetaSampler` draws by the weights, which ``MetaStepHook`` gives it before each epoch.

    A batch is ``[training images | meta set | ...]`` in parts of one size, as ``CompanionBatchSampler`` makes them; the
    released recipe has meta batches of twice the size on ImageNet-LT, ``num_meta_parts=2``. All of it is in float32
    also under autocast. Several processes learn the same weights; each draws the noise of its own images.

    The released code draws an image at a time with the weights of the moment, behind by the batches that its data
    loaders have prepared; here the draws of an epoch have the weights at its beginning, and so have the soft
    probabilities of these draws, whatever the number of workers.

    Source: Ren et al., "Balanced Meta-Softmax for Long-Tailed Visual Recognition" (NeurIPS 2020), section 3.3 and
    Algorithm 1, and the released code.

    Args:
        num_classes (int): Number of classes ``C``.
        in_channels (int): Length of the pooled feature.
        loss (dict, optional): Config of the loss on the logits, a ``LongTailLoss``. Defaults to
            ``dict(type='BalancedSoftmaxLoss')``.
        meta_lr (float): Learning rate of Adam. Defaults to 0.01.
        init_power (float): Initial weights fall with this power of class size. Defaults to 0.0.
        num_meta_parts (int): Parts of a batch that are of the meta set. Defaults to 1.
        init_cfg (dict | list, optional): Initialisation. Defaults to that of ``LinearHead``.

    Raises:
        UserInputError: If a number is out of range, or the loss is no ``LongTailLoss``.

    Examples:
        >>> model = dict(type='FrozenBackboneClassifier', norm_eval=False, backbone=dict(type='CIFARResNet'),
        ...              head=dict(type='BALMSHead', num_classes=100, in_channels=64))
        >>> train_dataloader = dict(
        ...     sampler=dict(type='MetaSampler'),
        ...     batch_sampler=dict(type='CompanionBatchSampler', companions=[dict(type='ClassAwareSampler')]))
        >>> custom_hooks = [dict(type='MetaStepHook')]
    """

    extra_labels: ClassVar[str] = "BALMS learns sampling weights"
    loss_module: LongTailLoss

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        loss: dict | None = None,
        meta_lr: float = 0.01,
        init_power: float = 0.0,
        num_meta_parts: int = 1,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(num_classes, in_channels, loss=loss or {"type": "BalancedSoftmaxLoss"}, init_cfg=init_cfg)
        if num_meta_parts < 1:
            raise UserInputError(f"num_meta_parts={num_meta_parts} must be 1 or more.")
        if not isinstance(self.loss_module, LongTailLoss):
            raise UserInputError(
                f"BALMSHead weighs the loss of each image, which {type(self.loss_module).__name__} does not give; use "
                "a LongTailLoss like dict(type='BalancedSoftmaxLoss')."
            )
        self.num_parts = 1 + num_meta_parts
        self.sampling = LearnedSampling(num_classes, meta_lr, init_power)

    def set_epoch(self, epoch: int, max_epochs: int) -> str:  # noqa: ARG002 (others follow its share)
        """Fix the weights by which the images of an epoch are drawn; ``EpochHook`` calls it.

        Args:
            epoch (int): The epoch about to start, from 0. Unused.
            max_epochs (int): Number of epochs of the training. Unused.

        Returns:
            str: The range of the weights, for the log.
        """
        counts = self.loss_module.class_distribution.known_counts()
        self.sampling.begin_epoch(counts)
        weights = self.sampling.weights[counts > 0]
        return f"sampling weights of classes from {weights.min():.3g} to {weights.max():.3g}"

    def loss(self, feats: tuple[Tensor, ...], data_samples: Sequence[DataSample]) -> dict[str, Any]:
        """Learn the sampling weights from a batch and compute the loss of its training images.

        Args:
            feats (tuple[Tensor, ...]): Pooled features, the last of shape ``(P B, in_channels)`` of ``P`` parts.
            data_samples (Sequence[DataSample]): Annotations of the images.

        Returns:
            dict[str, Tensor]: ``loss``, of the first ``B``.
        """
        features, batch = self.pre_logits(feats), LabelBatch.from_samples(data_samples)
        size = len(features) // self.num_parts
        if self.training and not self.repeats_batch:
            self.sampling.step(self.sampling_gradient(features.detach(), batch.one_label_each))
        return self._get_loss(self.classify(features[:size]), batch[:size])

    def sampling_gradient(self, features: Tensor, labels: Tensor) -> Tensor:
        r"""Meta-gradient of the sampling weights.

        Args:
            features (Tensor): Pooled features of all parts of a batch, without gradient, shape ``(P B, D)``.
            labels (Tensor): Their classes, int64 ``(P B,)``.

        Returns:
            Tensor: :math:`\nabla_\psi`, shape ``(C,)``.
        """
        size = len(features) // self.num_parts
        drawn = labels[:size]
        parameters = trained_parameters(self.fc)
        first, sums = self.sampling.draw_noise(drawn)
        with torch.autocast(features.device.type, enabled=False):
            features = features.to(torch.promote_types(features.dtype, torch.float32))

            def inner(values: Parameters, logits: Tensor) -> Tensor:
                soft = soft_selection(logits, drawn, first, sums)
                weight = 1 + soft - soft.detach()
                return self.loss_module(_classify(values, features[:size]), drawn, weight=weight)

            def outer(values: Parameters) -> Tensor:
                return F.cross_entropy(_classify(values, features[size:]), labels[size:])

            return meta_gradient(inner, outer, detached(parameters), self.sampling.drawn, self.sgd_step(parameters))

    def trained_prior(self, sampled: Tensor) -> Tensor:
        """Class prior that the logits answer for: of images drawn by the learned weights, as the loss sees them.

        Args:
            sampled (Tensor): How often each class comes without the weights, shape ``(C,)``.

        Returns:
            Tensor: Shape ``(C,)``, of any sum.
        """
        return self.loss_module.trained_prior(sampled * torch.sigmoid(self.sampling.logits).to(sampled))


def _classify(values: Parameters, features: Tensor) -> Tensor:
    return F.linear(features, values["weight"], values.get("bias"))
