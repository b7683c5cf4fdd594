"""Linear classifier."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from mmpretrain.models.heads import LinearClsHead
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads.adjusted_classifier import AdjustedClassifier
from lt_plugins.models.heads.label_batch_head import LabelBatchHead
from lt_plugins.registry import MODELS


@MODELS.register_module()
class LinearHead(LabelBatchHead, LinearClsHead):
    """mmpretrain's ``LinearClsHead``, whose labels and predictions are one tensor each; the weights are ``fc`` too.

    A post-hoc method may put another classifier beside the trained one, which then answers: :attr:`adjusted`. It comes
    and goes with the checkpoint that is loaded.

    Args:
        num_classes (int): Number of classes ``C``.
        in_channels (int): Length of the pooled feature.
        loss (dict, optional): Config of the loss on the logits. Defaults to cross-entropy.
        topk (int | tuple[int, ...]): The ``k`` of the training accuracies. Defaults to ``(1,)``.
        cal_acc (bool): Whether the log shows training accuracies; they need one label an image. Defaults to False.
        bias (bool): Whether the classifier has biases; the GLT benchmarks are measured without. Defaults to True.
        init_cfg (dict | list, optional): Initialisation. Defaults to normal with a deviation of 0.01.

    Examples:
        >>> head = dict(type='LinearHead', num_classes=100, in_channels=64)
    """

    has_unit_features: ClassVar[bool] = False
    """Whether the classifier is affine in the direction of the features instead of the features."""
    optional_parts: ClassVar[tuple[str, ...]] = ("adjusted.",)
    """Keys that a checkpoint may have and the new model has not."""
    adjusted: AdjustedClassifier | None

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        loss: dict | None = None,
        topk: int | tuple[int, ...] = (1,),
        cal_acc: bool = False,
        bias: bool = True,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(
            num_classes=num_classes,
            in_channels=in_channels,
            loss=loss or {"type": "CrossEntropyLoss"},
            topk=(topk,) if isinstance(topk, int) else topk,
            cal_acc=cal_acc,
            init_cfg=init_cfg or {"type": "Normal", "layer": "Linear", "std": 0.01},
        )
        if not bias:
            self.fc = nn.Linear(in_channels, num_classes, bias=False)
        self.adjusted = None

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Compute the logits.

        Args:
            feats (tuple[Tensor, ...]): Output of the neck, the last of shape ``(B, in_channels)``.

        Returns:
            Tensor: Logits ``(B, C)``.
        """
        features = self.pre_logits(feats)
        return self.classify(features) if self.adjusted is None else self.adjusted(features)

    def classify(self, features: Tensor) -> Tensor:
        """Compute the logits of the trained classifier.

        Args:
            features (Tensor): What :meth:`pre_logits` gives, shape ``(B, D)``.

        Returns:
            Tensor: Logits ``(B, C)``.
        """
        return self.fc(features)

    def affine(self) -> tuple[Tensor, Tensor]:
        """The trained classifier as an affine one of the features, or of their directions (``has_unit_features``).

        Returns:
            tuple[Tensor, Tensor]: Weights ``(C, D)`` and biases ``(C,)``, without gradient.
        """
        weight = self.fc.weight.detach()
        return weight, weight.new_zeros(len(weight)) if self.fc.bias is None else self.fc.bias.detach()

    def trained_prior(self, sampled: Tensor) -> Tensor:
        """Class prior that the logits answer for, see :meth:`.LongTailLoss.trained_prior`.

        Args:
            sampled (Tensor): How often each class came in training, shares of shape ``(C,)``.

        Returns:
            Tensor: Shape ``(C,)``; that of the loss, or ``sampled`` if the loss says nothing.
        """
        find = getattr(self.loss_module, "trained_prior", None)
        return sampled if find is None else find(sampled)

    def adjust(self, weight: Tensor, bias: Tensor, centre: Tensor | None = None) -> None:
        """Let another classifier answer from now on, as of :class:`.AdjustedClassifier`.

        Args:
            weight (Tensor): Its weights, shape ``(C, D)``.
            bias (Tensor): Its biases, shape ``(C,)``.
            centre (Tensor, optional): Where the directions of the features are taken from, shape ``(D,)``. Defaults to
                None: it classifies features.
        """
        self.adjusted = AdjustedClassifier(weight, bias, centre).to(self.fc.weight.device)

    def train(self, mode: bool = True) -> LinearHead:
        """Switch between training and evaluation.

        Args:
            mode (bool): Whether to train. Defaults to True.

        Raises:
            UserInputError: If an adjusted classifier is to be trained: it would hide what the training does.
        """
        if mode and self.adjusted is not None:
            raise UserInputError(
                "the classifier of this model was adjusted after its training (head.adjusted), so it cannot be "
                "trained on; go on from the checkpoint that it was made from."
            )
        return super().train(mode)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Make room for the adjusted classifier of a checkpoint, and for none if it has none."""
        tensors = {name: state_dict.get(f"{prefix}adjusted.{name}") for name in ("weight", "bias", "centre")}
        if self.adjusted is not None:
            del self.adjusted  # mmengine's tools take no module that is None
            self.adjusted = None
        if tensors["weight"] is not None and tensors["bias"] is not None:
            self.adjust(**{name: torch.empty_like(value) for name, value in tensors.items() if value is not None})
        super()._load_from_state_dict(state_dict, prefix, *args)
