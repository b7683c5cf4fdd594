"""Seeded images: derives the random state of an image from its position in the run, whichever process loads it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

from mmdet.registry import DATA_SAMPLERS, DATASETS
from mmengine.dataset import InfiniteSampler
from torch.utils.data import Dataset

from lt_plugins.engine.seeding import seed_generators


class Draw(NamedTuple):
    """Draw: an image of the sampler and the seed of its transforms.

    Args:
        image (int): Its number in the dataset.
        seed (tuple[int, ...]): What its random state follows from.
    """

    image: int
    seed: tuple[int, ...]


@DATA_SAMPLERS.register_module()
class SeededInfiniteSampler(InfiniteSampler):
    """mmengine's ``InfiniteSampler`` with a seed for each image, which :class:`SeededDataset` reads.

    Args:
        *args: As for mmengine's ``InfiniteSampler``.
        **kwargs: As for mmengine's ``InfiniteSampler``.

    Config::

        train_dataloader = dict(
            sampler=dict(type='SeededInfiniteSampler', shuffle=True), dataset=dict(type='SeededDataset', dataset=...))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.position = 0

    def skip(self, num_samples: int) -> None:
        """Skip to a position in the run.

        Args:
            num_samples (int): How many images of this process come before it.
        """
        super().skip(num_samples)
        self.position = num_samples

    def __iter__(self) -> Iterator[Draw]:
        """Yield the images of this process, without end, from the position in the run.

        Other than mmengine's, an iterator is on its own: one beside the training loop's, such as ``PreciseBNHook`` has,
        neither takes images from that nor ends it.
        """
        images = itertools.islice(self._indices_of_rank(), self.position, None)
        for position, index in enumerate(images, start=self.position):
            # The last number keeps them apart from the seeds of iterations.
            yield Draw(index, (self.seed, position, self.rank, 1))


@DATASETS.register_module()
class SeededDataset(Dataset):
    """Seeded dataset: wraps a dataset and loads each image with a random state of its own.

    A run that was resumed thus repeats crops, sizes and flips, with any number of data-loader workers.

    Args:
        dataset (Dataset | dict): The dataset, or its config.

    Config::

        dataset=dict(type='SeededDataset', dataset=dict(type='CheckedVOCDataset', ...))
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset: Any = dataset if isinstance(dataset, Dataset) else DATASETS.build(dataset)

    @property
    def metainfo(self) -> dict[str, Any]:
        """Classes and palette."""
        return self.dataset.metainfo

    def __len__(self) -> int:
        """Number of images."""
        return len(self.dataset)

    def __getitem__(self, draw: Draw) -> Any:
        """Load an image.

        Args:
            draw (Draw): What :class:`SeededInfiniteSampler` yields.

        Returns:
            Any: As the dataset gives it.
        """
        seed_generators(*draw.seed, cuda=False)
        return self.dataset[draw.image]
