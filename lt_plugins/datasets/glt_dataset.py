"""Images of a generalized long-tailed (GLT) benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from lt_plugins.datasets.glt.glt_file import SPLITS, GLTFile, read_glt
from lt_plugins.datasets.image_list import ImagePlaces, compile_replacements
from lt_plugins.datasets.listed_images import ListedImages
from lt_plugins.datasets.text_file import show_path
from lt_plugins.errors import UserInputError
from lt_plugins.registry import DATASETS


@DATASETS.register_module()
class GLTDataset(ListedImages):
    r"""Generalized long-tailed (GLT) benchmark: reads one split, or several after each other, from its JSON file.

    A file of ``tools/make_glt.py`` and those that the authors of the benchmarks released are read alike; docs/glt.md
    describes both. Classes are numbered by the file. A run trained on ``'train-glt'`` tests ``['test-cbl',
    'test-gbl']`` in one pass, one trained on ``'train-cbl'`` tests ``['test-gbl']``.

    :attr:`glt` says of each image in which split it is and which attribute it has, and of each class in which group;
    where no split is one of training, ``metainfo['glt']`` does so too, for metrics. Training reads no attributes, so
    its checkpoints hold none, but ``metainfo['splits']``: what a model was trained on decides which protocol a test is.

    Source: Tang et al., "Invariant Feature Learning for Generalized Long-Tailed Classification" (ECCV 2022).

    Args:
        ann_file (str): The JSON file, below ``data_root``.
        data_root (str): Root folder. Defaults to ``''``.
        data_prefix (str): Folder of the images, below the root. Defaults to ``''``.
        split (str | Sequence[str]): Which split, or which ones after each other: ``'train-glt'``, ``'train-cbl'``,
            ``'val-glt'``, ``'val-cbl'``, ``'test-lt'``, ``'test-cbl'`` or ``'test-gbl'``. Defaults to ``'train-glt'``.
        path_replace (Mapping[str, str] | None): Regular expressions and what replaces them in each path, in order; of
            released files, whose paths are absolute: ``{r'^.*/train/': 'train/'}``. Defaults to None.
        **kwargs: ``pipeline`` and the other arguments of mmpretrain's ``BaseDataset``.

    Raises:
        UserInputError: If the file cannot be read, is no GLT benchmark or has no such split, or a path leaves the data
            root.

    Examples:
        >>> dict(type='GLTDataset', data_root='data/cifar100', ann_file='cifar100-glt.json',
        ...      split=['test-cbl', 'test-gbl'], pipeline=test_pipeline)
    """

    def __init__(
        self,
        ann_file: str,
        data_root: str = "",
        data_prefix: str = "",
        split: str | Sequence[str] = "train-glt",
        path_replace: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        self.splits = (split,) if isinstance(split, str) else tuple(split)
        if not self.splits or len({*self.splits}) < len(self.splits) or not {*self.splits} <= {*SPLITS}:
            raise UserInputError(f"split={split!r} of GLTDataset must be one or more of {', '.join(SPLITS)}.")
        self.path_replace = compile_replacements(path_replace or {})
        self._glt: dict[str, Any] = {}
        super().__init__(ann_file=ann_file, data_root=data_root, data_prefix=data_prefix, **kwargs)

    @property
    def glt(self) -> dict[str, Any]:
        """What is known of the ``N`` images and ``C`` classes beside their labels.

        ``subset`` ``(N,)`` int64: which of ``subset_names`` an image is in; ``attribute`` ``(N,)`` int64: which of
        ``attribute_names`` it has, -1 for none; ``class_group`` ``(C,)`` int64: 0 for classes with many, 1 medium and
        2 few images in Train-GLT, -1 if not known.
        """
        self.full_init()
        return self._glt

    def load_data_list(self) -> list[dict]:
        """Read the images of the splits, and check them.

        Returns:
            One ``dict(img_path, gt_label)`` for each image, in the order of the file.
        """
        benchmark = read_glt(self.ann_file)
        if self.CLASSES is not None and len(self.CLASSES) != len(benchmark.classes):
            raise UserInputError(
                f"classes names {len(self.CLASSES)} classes, but {show_path(self.ann_file)} has "
                f"{len(benchmark.classes)}; leave classes out, or give all names."
            )
        self._metainfo.setdefault("classes", benchmark.classes)
        self._metainfo["splits"] = self.splits
        images = [image for split in self.splits for image in self._images(benchmark, split)]
        sizes = [len(benchmark.splits[split]) for split in self.splits]
        self._glt = {
            "subset": np.repeat(np.arange(len(sizes)), sizes),
            "subset_names": self.splits,
            "attribute": np.array([image.attribute for image in images], dtype=np.int64),
            "attribute_names": benchmark.attribute_names,
            "class_group": np.array(benchmark.class_group, dtype=np.int64),
        }
        if not any(split.startswith("train") for split in self.splits):
            self._metainfo["glt"] = self._glt
        places = ImagePlaces(self.img_prefix, self.path_replace)
        where = partial(show_path, self.ann_file)
        return [{"img_path": places.find(image.path, where), "gt_label": image.label} for image in images]

    def _images(self, benchmark: GLTFile, split: str) -> Sequence[Any]:
        images = benchmark.splits.get(split)
        if not images:
            found = ", ".join(name for name in SPLITS if benchmark.splits.get(name))
            raise UserInputError(
                f"{show_path(self.ann_file)} has no images of {split}, only of {found}; set split of GLTDataset to one "
                "of these, or ann_file to the other file of the benchmark."
            )
        return images
