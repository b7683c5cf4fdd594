"""Feature pass for post-hoc methods: the trained classifier of a model, and the features that it is affine in."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from lt_plugins.datasets.labels import get_labels
from lt_plugins.engine.features import gather_features
from lt_plugins.errors import UserInputError
from lt_plugins.models.heads import AffineHead
from lt_plugins.posthoc import AffineClassifier, LabelledFeatures, TrainedClassifier

TOLERANCE = 1e-3
"""Largest error of the affine logits, relative to the largest logit; rounding of half precision on a GPU is below."""


def read_classifier(model: Any, prior: Tensor) -> TrainedClassifier:
    """The trained classifier of a model, on the CPU in float32.

    Args:
        model (nn.Module): The model without wrappers, with its class counts.
        prior (Tensor): Class prior that its logits answer for, shape ``(C,)``.

    Raises:
        UserInputError: If its head is none that post-hoc methods take, has been adjusted already, or the class counts
            are unknown.
    """
    check_head(model)
    weight, bias = (value.float().cpu() for value in model.head.affine())
    return TrainedClassifier(
        AffineClassifier(weight, bias),
        class_counts(model),
        prior,
        model.head.has_unit_features,
        num_experts=getattr(model.head, "num_experts", 1),
    )


def class_counts(model: Any) -> Tensor:
    """Training images of each class, as the model knows them.

    Args:
        model (nn.Module): The model without wrappers.

    Returns:
        Tensor: Shape ``(C,)``, int64, on the CPU.

    Raises:
        UserInputError: If it does not.
    """
    distribution = getattr(model, "class_distribution", None)
    if distribution is None or not distribution.is_set:
        raise UserInputError(
            "the checkpoint has no class counts (class_distribution.counts): it was trained without "
            "ClassDistributionHook; post-hoc methods need to know how many training images each class has."
        )
    return distribution.counts.cpu()


def check_head(model: Any) -> None:
    """Refuse a head that is no affine classifier of its features.

    Args:
        model (nn.Module): The model without wrappers.

    Raises:
        UserInputError: If it is of another kind, has been adjusted already, or its probabilities are no softmax.
    """
    head = getattr(model, "head", None)
    if not isinstance(head, AffineHead):
        raise UserInputError(
            f"post-hoc methods take an affine classifier, and the head of this model is a {type(head).__name__}; use "
            "one that derives from AffineHead, like LinearHead."
        )
    if head.adjusted is not None:
        raise UserInputError(
            "the classifier of this checkpoint was adjusted already (head.adjusted); give the one it was made from."
        )
    if getattr(head.loss_module, "link", "softmax") != "softmax":
        raise UserInputError(
            f"post-hoc methods change the class prior of a softmax, and {type(head.loss_module).__name__} trains "
            f"{head.loss_module.link} probabilities; use a model with another loss."
        )


def gather_classifier_features(
    model: Any,
    dataset: Dataset,
    *,
    batch_size: int,
    num_workers: int,
    description: str,
    first: int | None = None,
) -> LabelledFeatures:
    """Compute what the classifier is affine in, of the images of a dataset, on every rank.

    Args:
        model (nn.Module): The model without wrappers, in evaluation mode.
        dataset (Dataset): The images, without augmentation.
        batch_size (int): Images a batch.
        num_workers (int): Data-loader workers.
        description (str): Label of the progress bar.
        first (int, optional): How many images, the first ones of the dataset. Defaults to all.

    Returns:
        LabelledFeatures: In the order of the dataset, on the CPU.

    Raises:
        UserInputError: If the logits of the head are not affine in them.
    """
    head = model.head
    weight, bias = head.affine()
    is_checked = False

    def extract(batch: dict[str, Any]) -> Tensor:
        nonlocal is_checked
        images = model.data_preprocessor(batch, training=False)["inputs"]
        feats = model.extract_feat(images)
        features = head.affine_features(head.pre_logits(feats))
        if not is_checked:
            expected, found = head(feats).float(), F.linear(features.float(), weight.float(), bias.float())
            if float((expected - found).abs().max()) > TOLERANCE * max(1.0, float(expected.abs().max())):
                raise UserInputError(
                    f"the logits of {type(head).__name__} are not affine in its features, so post-hoc methods cannot "
                    "change them; its prediction is another one than head.affine() says."
                )
            is_checked = True
        return features

    labels = torch.from_numpy(get_labels(dataset))[:first]
    features = gather_features(
        extract,
        dataset,
        batch_size=batch_size,
        num_workers=num_workers,
        indices=range(len(labels)),
        description=description,
    )
    return LabelledFeatures(features, labels)
