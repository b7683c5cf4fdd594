"""Data preprocessor of all classifiers: one view or several, with the labels of a batch as one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from lt_plugins.augmentation.resident_images import ResidentBatch
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import LabelBatch
from lt_plugins.registry import MODELS

Images = Tensor | Sequence[Tensor]


@MODELS.register_module()
class ImageBatchPreprocessor(ClsDataPreprocessor):
    """mmpretrain's ``ClsDataPreprocessor`` for one view or several of each image, without Python code for each image.

    Labels become a :class:`~lt_plugins.models.structures.LabelBatch`, in one transfer to the device, which is a
    sequence of samples for heads of other packages. Each view is normalised as ``ClsDataPreprocessor`` does a single
    one, and Mixup and CutMix give the same numbers. Samples of other kinds (several labels an image, several tasks) are
    left to ``ClsDataPreprocessor``.

    Batch augmentations that are modules (:class:`.Remix`, :class:`.CMO`) are in ``mixing``, where the hooks for class
    counts and epochs find them.

    Of a :class:`~lt_plugins.augmentation.resident_images.ResidentBatch` it augments the images first, on the device of
    the model, by the seed of the run (:meth:`set_seed`, called by ``EpochSeedHook``) and the epoch (:meth:`set_epoch`,
    called by ``EpochHook``).

    Args:
        **kwargs: Those of ``ClsDataPreprocessor``.

    Raises:
        UserInputError: If Mixup or CutMix is to mix several views, or CMO to be one of several augmentations.
    """

    _seed = _epoch = 0

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        augments = [] if self.batch_augments is None else self.batch_augments.augments
        self.mixing = nn.ModuleList(augment for augment in augments if isinstance(augment, nn.Module))
        self.num_parts = max((getattr(augment, "num_parts", 1) for augment in augments), default=1)
        if self.num_parts > 1 and len(augments) > 1:
            name = next(type(augment).__name__ for augment in augments if getattr(augment, "num_parts", 1) > 1)
            raise UserInputError(
                f"{name} takes every batch, of which it leaves one part, and is one of several choices here; give it "
                "alone as model.train_cfg.augments, with a prob of its own instead of train_cfg.probs."
            )

    def set_seed(self, seed: int) -> None:
        """Set the seed that resident images are augmented by.

        Args:
            seed (int): Seed of the run.
        """
        self._seed = seed

    def set_epoch(self, epoch: int, max_epochs: int) -> None:  # noqa: ARG002 (others follow its share)
        """Set the epoch that resident images are augmented by.

        Args:
            epoch (int): The epoch about to start, from 0.
            max_epochs (int): Number of epochs of the training. Unused.
        """
        self._epoch = epoch

    def forward(self, data: dict, training: bool = False) -> dict:
        """Move to the device, normalise, and mix.

        Args:
            data (dict): ``inputs``: a batch ``(B, 3, H, W)``, a list of ``B`` images, a list of views, each of these
                two kinds, or features of images ``(B, D)``; and ``data_samples``, if the images have labels. Or
                ``inputs`` alone, a list of one ``ResidentBatch``, which has the labels.
            training (bool): Whether to mix images, if ``batch_augments`` are configured. Defaults to False.

        Returns:
            dict: ``inputs``: a batch ``(B, 3, H, W)``, or a list of such views; and ``data_samples``: a
            :class:`~lt_plugins.models.structures.LabelBatch`, or None.
        """
        views, samples = self._read(data)
        if not (samples is None or isinstance(samples, LabelBatch)):
            return super().forward(data, training)
        inputs = [self._normalise(view) for view in views]
        if samples is not None and self.to_onehot:
            samples = self._with_scores(samples)
            if training and self.batch_augments is not None and samples.scores is not None:
                if len(inputs) > 1:
                    raise UserInputError(
                        f"Mixup and CutMix mix one view of each image, and the train pipeline gives {len(inputs)}; "
                        "remove MultiView from it, or data_preprocessor.batch_augments."
                    )
                inputs[0], scores = self.batch_augments(inputs[0], samples.scores)
                samples = samples[: len(scores)].with_scores(scores)
        return {"inputs": inputs if len(inputs) > 1 else inputs[0], "data_samples": samples}

    def _read(self, data: dict) -> tuple[list[Images], Any]:
        """Take a batch of a data loader apart.

        Args:
            data (dict): As given to :meth:`forward`.

        Returns:
            tuple: The views, and their labels as a ``LabelBatch`` on the device; or, instead of the labels, None for
            images without samples, or the samples that are no ``LabelBatch``.
        """
        inputs, samples = data["inputs"], data.get("data_samples")
        if not isinstance(inputs, Tensor) and isinstance(inputs[0], ResidentBatch):
            resident = inputs[0]
            augmented = resident.source.augmented(resident.indices, self._seed, self._epoch, self.device)
            return [*augmented], LabelBatch(resident.labels, sample_idx=resident.indices).to(self.device)
        has_views = not isinstance(inputs, Tensor) and (not isinstance(inputs[0], Tensor) or inputs[0].ndim == 4)
        views = list(inputs) if has_views else [inputs]
        if isinstance(samples, LabelBatch):
            return views, samples.to(self.device)
        if samples is None or not isinstance(samples[0], DataSample):
            return views, samples
        batch = LabelBatch.from_samples(samples, self.device)
        return views, samples if batch.labels is None and "gt_label" in samples[0] else batch

    def _normalise(self, view: Images) -> Tensor:
        """Images as one batch of floats on the device, ``(B, 3, H, W)``; features of images, ``(B, D)``, stay."""
        if isinstance(view, Tensor) and view.ndim == 2:
            return view.to(self.device)
        if not isinstance(view, Tensor) and len({image.shape for image in view}) == 1:
            view = torch.stack(list(view))
        return super().forward({"inputs": view})["inputs"]

    def _with_scores(self, samples: LabelBatch) -> LabelBatch:
        """Labels as shares of the classes, which are 1 of one class unless the samples have them."""
        if samples.scores is not None or samples.labels is None:
            return samples
        num_classes = self.num_classes or samples[0].get("num_classes")
        if num_classes is None:
            raise UserInputError(
                "data_preprocessor.num_classes is not set, and mixed or one-hot labels need it; set it to the number "
                "of classes of the data."
            )
        # F.one_hot asks for the smallest label first, which a step must not wait for.
        scores = samples.labels.new_zeros(len(samples), num_classes)
        return samples.with_scores(scores.scatter_(1, samples.labels[:, None], 1))
