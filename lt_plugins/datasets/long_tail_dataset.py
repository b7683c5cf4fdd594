"""A long-tailed selection from any dataset."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch

from lt_plugins.datasets.indexed_dataset import IndexedDataset
from lt_plugins.datasets.labels import get_class_counts, get_class_names, get_labels
from lt_plugins.datasets.profiles import Profile, class_profile
from lt_plugins.errors import UserInputError
from lt_plugins.registry import DATASETS

Draw = Literal["ldam", "first", "choice"]
Order = Literal["label", "size"]


@DATASETS.register_module()
class LongTailDataset(IndexedDataset):
    """Keeps the images of a long-tailed profile over the classes of a dataset.

    The largest class is label 0, the smallest the last label; with ``reverse`` the other way round. With CIFAR-10/100,
    ``profile='exp'`` and the default draw the selection is, index by index, that of the generator released with LDAM
    (arXiv:1906.07413, ``imbalance_cifar.py``), which the field uses; the samples are grouped by class. The global
    random state is neither read nor written.

    Three training sets of the literature have the same counts and other images; compare methods on one of them.
    ``draw='ldam'`` keeps the images of LDAM's generator with ``seed``. ``'first'`` keeps the first ones in the order of
    the dataset, as the released codes of SHIKE, LOS, ImbSAM and weight balancing have it. ``'choice'`` draws without
    replacement by the seed of the run, so that each run has images of its own, as in that of GLMC.

    Args:
        dataset (Any): Dataset (usually balanced), or its config.
        imbalance_factor (float): Largest over smallest class count, at least 1 (papers: 10, 50, 100).
        profile (Profile): ``'exp'``, ``'step'`` or ``'pareto'``, see :func:`class_profile`. Defaults to ``'exp'``.
        max_count (int | None): Images of the largest class. Defaults to the largest class of ``dataset``. A set
            that already is long-tailed can be cut to a higher imbalance factor. With ``order='size'``: as many as leave
            every class enough.
        seed (int | None): Which images are kept. Defaults to 0, the field's draw; ``draw='choice'`` needs one, which a
            config takes from ``randomness.seed``.
        pareto_alpha (float): Power value of ``'pareto'``. Defaults to 6.
        pipeline (Sequence[dict] | None): Transforms in place of those of the dataset. Defaults to its own.
        reverse (bool): Whether the last label is the largest class. From a balanced test set, factor 50 makes the
            shifted sets of SADE's tables, "forward-50" and, reversed, "backward-50". Defaults to False.
        draw (Draw): Which images of a class are kept: ``'ldam'``, ``'first'`` or ``'choice'``. Defaults to ``'ldam'``.
        order (Order): Which class is the largest: ``'label'``, the first one, or ``'size'``, the one with most images,
            and so on; so the classes of any dataset can be cut. Defaults to ``'label'``.
        meta_per_class (int): Images of each class that are taken out for a balanced meta set before, those at the end
            of the order of ``draw``. They come after the others as part 1 (:class:`.PartSampler`); the
            largest class has as many fewer, unless ``max_count`` says otherwise. Defaults to 0: no meta set.

    Raises:
        UserInputError: If a class has no images, or fewer than the profile asks for, or an argument is out of range.

    Examples:
        >>> train_dataloader = dict(dataset=dict(
        ...     type='LongTailDataset', imbalance_factor=100,
        ...     dataset=dict(type='CIFAR100', data_root='data/cifar100', split='train', pipeline=train_pipeline)))
    """

    def __init__(
        self,
        dataset: Any,
        imbalance_factor: float,
        profile: Profile = "exp",
        max_count: int | None = None,
        seed: int | None = None,
        pareto_alpha: float = 6.0,
        pipeline: Sequence[dict] | None = None,
        reverse: bool = False,
        draw: Draw = "ldam",
        order: Order = "label",
        meta_per_class: int = 0,
    ) -> None:
        for name, value, known in (("draw", draw, get_args(Draw)), ("order", order, get_args(Order))):
            if value not in known:
                raise UserInputError(f"unknown {name} {value!r}; choose one of {', '.join(known)}")
        if order == "size" and reverse:
            raise UserInputError("order='size' ranks classes by their images, and reverse=True by label; drop one")
        if draw == "choice" and seed is None:
            raise UserInputError("draw='choice' draws by the seed of the run; give it, like seed=0")
        if meta_per_class < 0:
            raise UserInputError(f"meta_per_class={meta_per_class} must be 0 (no meta set) or more, like 10")
        super().__init__(dataset)
        labels, names = get_labels(self.dataset), get_class_names(self.dataset)
        available = np.bincount(labels, minlength=len(names)) - meta_per_class
        names += tuple(str(label) for label in range(len(names), len(available)))
        if order == "size":
            wanted = _by_size(available, max_count, imbalance_factor, profile, pareto_alpha)
        else:
            largest = int(available.max(initial=0)) if max_count is None else max_count
            wanted = class_profile(len(available), largest, imbalance_factor, profile, pareto_alpha, reverse)
        _check_enough(names, available, wanted, int(wanted.max(initial=0)))
        chosen, meta = _draw(labels, wanted, seed or 0, draw, meta_per_class)
        super().__init__(self.dataset, np.concatenate([chosen, meta]), pipeline)
        self._num_meta = len(meta)

    @property
    def parts(self) -> list[IndexedDataset]:
        """The long-tailed images and, if there is one, the meta set."""
        if not self._num_meta:
            return [self]
        ends = np.split(self.indices, [len(self.indices) - self._num_meta])
        return [IndexedDataset(self.dataset, indices) for indices in ends]

    @property
    def class_counts(self) -> torch.Tensor:
        """Number of images of each class that were kept, without a meta set, ``(C,)`` int64."""
        return get_class_counts(self.parts[0], len(get_class_names(self.dataset)))


def _draw(
    labels: np.ndarray, counts: np.ndarray, seed: int, draw: Draw, meta_per_class: int
) -> tuple[np.ndarray, np.ndarray]:
    """The released generators' selections: bring each class in label order into the order of the draw, keep the first.

    The last ones are the meta set: with the same seed the first ones are the same, with or without it.
    """
    generator = np.random.RandomState(seed)  # the legacy generator, whose stream numpy guarantees never to change
    selected, meta = [], []
    for label, count in enumerate(counts):
        members = np.flatnonzero(labels == label)
        if draw == "ldam":
            generator.shuffle(members)
        elif draw == "choice":
            members = generator.choice(members, len(members), replace=False)
        selected.append(members[:count])
        meta.append(members[len(members) - meta_per_class :])
    return np.concatenate(selected), np.concatenate(meta)


def _by_size(available: np.ndarray, max_count: int | None, factor: float, profile: Profile, alpha: float) -> np.ndarray:
    """Class counts of the profile over the classes by their size: the largest ones that leave every class enough."""
    ranking = np.argsort(-available, kind="stable")
    sizes = available[ranking]
    if max_count is None and sizes[-1] > 0:
        max_count = _largest(sizes, factor, profile, alpha)
        if class_profile(len(sizes), max(max_count, 1), factor, profile, alpha)[-1] == 0:
            fitting = (
                lower
                for lower in range(math.ceil(factor) - 1, 0, -1)
                if class_profile(len(sizes), max(_largest(sizes, lower, profile, alpha), 1), lower, profile, alpha)[-1]
            )
            raise UserInputError(
                f"imbalance_factor={factor:g} would leave a class without images: beside the others the largest one "
                f"can keep {max_count} of its {sizes[0]} images; give at most {next(fitting)}, or more images"
            )
    largest = int(sizes[0]) if max_count is None else max_count
    counts = np.empty_like(available)
    counts[ranking] = class_profile(len(sizes), largest, factor, profile, alpha)
    return counts


def _largest(sizes: np.ndarray, factor: float, profile: Profile, alpha: float) -> int:
    """Size of the largest class, with which no class needs more images than it has."""

    def is_too_much(largest: int) -> bool:
        return bool((class_profile(len(sizes), largest, factor, profile, alpha) > sizes).any())

    return bisect_left(range(1, int(sizes[0]) + 1), True, key=is_too_much)


def _check_enough(names: tuple[str, ...], available: np.ndarray, wanted: np.ndarray, max_count: int) -> None:
    for label, (name, has, needs) in enumerate(zip(names, available, wanted, strict=True)):
        if has == 0:
            raise UserInputError(
                f"class {label} ({name}) has no images; add some, or leave the class out of the dataset"
            )
        if has < needs:
            raise UserInputError(
                f"class {label} ({name}) has {has} images, the profile needs {needs}; lower max_count={max_count}, "
                "raise imbalance_factor, or give order='size'"
            )
        if needs == 0:
            raise UserInputError(
                f"class {label} ({name}) would keep no image; lower imbalance_factor or raise max_count"
            )
