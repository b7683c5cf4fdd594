"""A dataset of small images that are decoded once and then stay in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from lt_plugins.augmentation.resident_images import ResidentBatch, ResidentImages
from lt_plugins.datasets.batched_forms import pipeline_form
from lt_plugins.datasets.indexed_dataset import IndexedDataset
from lt_plugins.errors import UserInputError
from lt_plugins.registry import DATASETS
from lt_plugins.terminal import progress_bar

GIB = 1 << 30


@DATASETS.register_module()
class ResidentDataset(IndexedDataset):
    """Keeps all images of a dataset in memory and hands on whole batches of them, not yet augmented.

    Each image passes the transforms that load it once, when the first one is asked for. The random transforms of the
    pipeline are translated into such of whole batches
    (:func:`~lt_plugins.datasets.batched_forms.pipeline_form.pipeline_form`), which
    :class:`~lt_plugins.models.classifiers.ImageBatchPreprocessor` does on the device of the model. Single samples,
    ``dataset[i]``, pass the pipeline as it is written.

    With ``resident = True`` in a config the tools wrap the datasets of all its data loaders so; samplers and loops stay
    as they are. A data loader needs ``num_workers=0`` and ``collate_fn=dict(type='pseudo_collate')``.

    Args:
        dataset (Any): Dataset, or its config; its images have one size once they are loaded.
        max_bytes (int): Largest size of all images. Defaults to 8 GiB.

    Raises:
        UserInputError: When the first batch is asked for: if the images have different sizes or are too many, or a
            transform has no batched form.

    Examples:
        >>> train_dataloader = dict(num_workers=0, collate_fn=dict(type='pseudo_collate'),
        ...     dataset=dict(type='ResidentDataset', dataset=dict(type='CIFAR10', ...)))
    """

    def __init__(self, dataset: Any, max_bytes: int = 8 * GIB) -> None:
        if max_bytes < 1:
            raise UserInputError(f"max_bytes={max_bytes} must be positive, like {8 * GIB}.")
        super().__init__(dataset)
        self.max_bytes = max_bytes
        self._images: ResidentImages | None = None

    @property
    def images(self) -> ResidentImages:
        """All images in memory; decoded at the first time."""
        if self._images is None:
            self._images = self._load()
        return self._images

    def rewrap(self, dataset: Any) -> ResidentDataset:
        """As in the base class; images that are loaded in the same way are shared.

        Args:
            dataset (Any): Stands in for the wrapped dataset.
        """
        clone = super().rewrap(dataset)
        assert isinstance(clone, ResidentDataset)
        clone._images = self._share(clone)
        return clone

    def get_subset(self, indices: Sequence[int]) -> ResidentDataset:
        """As in the base class.

        Args:
            indices (Sequence[int]): Positions in this dataset.
        """
        clone = super().get_subset(indices)
        assert isinstance(clone, ResidentDataset)
        clone._images = None
        return clone

    @property
    def pipeline(self) -> Any:
        """As in the base class."""
        return IndexedDataset.pipeline.fget(self)  # type: ignore[attr-defined]

    @pipeline.setter
    def pipeline(self, pipeline: Any) -> None:
        self._images = None
        IndexedDataset.pipeline.fset(self, pipeline)  # type: ignore[attr-defined]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, ResidentBatch]]:
        """Give a batch at once; torch's data loader asks for it this way.

        Args:
            indices (Sequence[int]): Positions in this dataset, ``(B,)``.

        Returns:
            list[dict]: A single item, ``inputs``, for all images: what ``pseudo_collate`` hands on.

        Raises:
            UserInputError: In a worker process, which would copy the images.
        """
        if get_worker_info() is not None:
            raise UserInputError(
                "the images of a ResidentDataset are in memory and need no workers; set num_workers=0 in its data "
                "loader."
            )
        return [{"inputs": ResidentBatch(self.images, torch.as_tensor(indices, dtype=torch.int64))}]

    def _share(self, other: ResidentDataset) -> ResidentImages | None:
        """The images for another pipeline, if it loads them in the same way; None if they are not loaded yet."""
        if self._images is None:
            return None
        own, form = (pipeline_form(dataset._steps()) for dataset in (self, other))
        if repr(own.once) != repr(form.once):
            return None
        return ResidentImages(self._images.images, self._images.labels, form.views)

    def _steps(self) -> list[Any]:
        """The transforms, which are the same for all images."""
        first, *others = ([*leaf.pipeline.transforms] for leaf in self._table.leaves)
        for steps in others:
            if repr(steps) != repr(first):
                raise UserInputError(
                    "the datasets that a ResidentDataset joins have different pipelines; give them the same, or use "
                    "--no-resident."
                )
        return first

    def _load(self) -> ResidentImages:
        form = pipeline_form(self._steps())
        images: Tensor | None = None
        with progress_bar() as progress:
            for index in progress.track(range(len(self)), description="images into memory"):
                info = self.get_data_info(index)
                pixels = self._decode(info, form.once)
                if images is None:
                    self._check_size(pixels)
                    images = torch.empty(len(self), *pixels.shape, dtype=torch.uint8)
                    first_name = _name(info, index)
                if pixels.shape != images.shape[1:]:
                    raise UserInputError(
                        f"images of a resident dataset have one size, but {_name(info, index)} is {_size(pixels)} and "
                        f"{first_name} {_size(images[0])}; scale them in the pipeline, after LoadImage "
                        "(dict(type='Resize', scale=(32, 32))), or use --no-resident."
                    )
                images[index] = torch.from_numpy(pixels)
        if images is None:
            raise UserInputError("the dataset has no images.")
        return ResidentImages(images, torch.from_numpy(self.get_gt_labels()), form.views)

    def _decode(self, info: dict, once: Sequence[Any]) -> np.ndarray:
        """Load an image: BGR, uint8 ``(3, H, W)``."""
        name, results = _name(info, info["sample_idx"]), info
        for step in once:
            loaded = step(results)
            if loaded is None:
                raise UserInputError(
                    f"{name} cannot be loaded; a resident dataset leaves none out: mend or remove it, or use "
                    "--no-resident."
                )
            results = loaded
        pixels = results.get("img")
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            found = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
            raise UserInputError(
                f"{name} is {found} once it is loaded, expected uint8 (H, W, 3); let the pipeline begin with "
                "dict(type='LoadImage'), or use --no-resident."
            )
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))

    def _check_size(self, pixels: np.ndarray) -> None:
        needed = len(self) * pixels.nbytes
        if needed > self.max_bytes:
            raise UserInputError(
                f"{len(self)} images of {_size(pixels)} take {needed / GIB:.1f} GiB of memory, more than max_bytes="
                f"{self.max_bytes} ({self.max_bytes / GIB:.1f} GiB) of ResidentDataset; raise it if there is room, or "
                "use --no-resident."
            )


def _name(info: dict, index: int) -> str:
    path = info.get("img_path")
    return f"image {index}" if path is None else f"image {path}"


def _size(pixels: np.ndarray | Tensor) -> str:
    """Width and height of an image ``(3, H, W)``."""
    return f"{pixels.shape[2]}x{pixels.shape[1]}"
