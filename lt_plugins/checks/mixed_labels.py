"""Can a model be trained on mixed images (Mixup, CutMix), whose label is a score of each class?"""

from __future__ import annotations

from typing import Any

from lt_plugins.errors import UserInputError


def check_mixed_labels(model: Any) -> None:
    """Refuse batch augmentations that the loss or the number of classes does not allow.

    A loss of one label an image says so by ``needs_one_label``.

    Args:
        model (nn.Module): The classifier, without wrappers.

    Raises:
        UserInputError: If images are mixed although the loss takes one label, or into another number of classes than
            the head has.
    """
    preprocessor: Any = getattr(model, "data_preprocessor", None)
    head: Any = getattr(model, "head", None)
    if getattr(preprocessor, "batch_augments", None) is None or head is None:
        return
    for module in model.modules():
        if getattr(module, "needs_one_label", False):
            raise UserInputError(
                f"{type(module).__name__} takes one label an image, but Mixup or CutMix mixes them; remove "
                "model.train_cfg.augments (data_preprocessor.batch_augments), or use another loss."
            )
    num_classes = getattr(head, "num_classes", None)
    if num_classes is not None and preprocessor.num_classes != num_classes:
        raise UserInputError(
            f"data_preprocessor.num_classes={preprocessor.num_classes}, with which Mixup and CutMix mix labels, is not "
            f"model.head.num_classes={num_classes}; set both to the number of classes of the data."
        )
