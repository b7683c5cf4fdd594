"""What a model predicted for each test image, as a few compact arrays."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lt_plugins.atomic_write import atomic_write
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.functional import label_ranks
from lt_plugins.unreadable import refuse_unreadable, require

_ARRAYS = ("label", "predicted", "label_rank", "confidence", "sample_idx")


@dataclass(frozen=True)
class Predictions:
    """Predictions for ``N`` samples: 36 bytes a sample, however many classes ``C`` there are.

    Args:
        label (NDArray): True class, ``(N,)`` int64.
        predicted (NDArray): Class with the highest score (the first of equals), ``(N,)`` int64; -1 where the scores
            were not finite, which no metric accepts.
        label_rank (NDArray): Place of the true class when classes are sorted by falling score, ``(N,)`` int64. 0 is a
            hit; the sample is a top-k hit if it is below ``k``. ``C`` where the scores were not finite.
        confidence (NDArray): Highest score, ``(N,)`` float32; 0 where the scores were not finite.
        sample_idx (NDArray): Position of the sample in its dataset, ``(N,)`` int64; -1 if it is not known.
        num_classes (int): Number of classes ``C`` that the model scores.
    """

    label: NDArray[np.int64]
    predicted: NDArray[np.int64]
    label_rank: NDArray[np.int64]
    confidence: NDArray[np.float32]
    sample_idx: NDArray[np.int64]
    num_classes: int

    @classmethod
    def from_scores(cls, scores: Tensor, label: Tensor, sample_idx: Tensor | None = None) -> Predictions:
        """Reduce the scores of a batch.

        Args:
            scores (Tensor): Class probabilities, ``(B, C)``.
            label (Tensor): True classes, ``(B,)``.
            sample_idx (Tensor, optional): Positions of the samples in the dataset, int64 ``(B,)``. Defaults to -1, not
                known.

        Raises:
            UserInputError: If a label is not in ``[0, C)``.
        """
        scores = scores.float()
        ranks, num_classes = label_ranks(scores, label), scores.shape[1]
        # A diverged model scores NaN, which argmax would count as class 0: half right on a two-class problem.
        finite = scores.isfinite().all(dim=1)
        confidence, predicted = scores.max(dim=1)  # (B,)
        positions = torch.full_like(ranks, -1) if sample_idx is None else sample_idx.to(ranks)
        rows = [label.to(ranks), predicted.where(finite, -1), ranks.where(finite, num_classes), positions]
        whole = torch.stack(rows).cpu().numpy()  # together: a transfer waits for the device
        return cls(
            label=whole[0],
            predicted=whole[1],
            label_rank=whole[2],
            confidence=confidence.where(finite, 0.0).cpu().numpy(),
            sample_idx=whole[3],
            num_classes=num_classes,
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Predictions]) -> Predictions:
        """Join parts (at least one) in the given order."""
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
        return cls(**arrays, num_classes=parts[0].num_classes)

    def once_each(self, size: int) -> Predictions:
        """Drop the repetitions that pad the shards of a distributed sampler and put the samples in dataset order.

        Args:
            size (int): Length of the dataset. No more predictions than that means that there is nothing to drop.

        Raises:
            UserInputError: If there are repetitions, but the samples' indices do not tell which they are.
        """
        order = np.argsort(self.sample_idx, kind="stable")
        if len(self) > size:
            _, order = np.unique(self.sample_idx, return_index=True)
            if len(order) != size or (self.sample_idx < 0).any():
                raise UserInputError(
                    f"{len(self)} predictions for {size} samples, and their sample_idx ({len(order)} different ones) "
                    "does not tell which are repeated: keep 'sample_idx' in the meta_keys of PackInputs and unique in "
                    "the test set, or test with sampler=dict(type='DefaultSampler', shuffle=False, round_up=False)."
                )
        return replace(self, **{name: getattr(self, name)[order] for name in _ARRAYS})

    @property
    def num_invalid(self) -> int:
        """Number of samples whose scores were not finite."""
        return int((self.predicted < 0).sum())

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each sample is a top-1 hit, ``(N,)``."""
        return np.equal(self.label_rank, 0)

    def save(self, path: str | Path) -> None:
        """Write the arrays as a compressed ``.npz``, atomically."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **asdict(self))
        atomic_write(path, buffer.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> Predictions:
        """Read what :meth:`save` wrote; never unpickles.

        Raises:
            UserInputError: If the file is not such a file, or holds scores that are not finite.
        """
        with refuse_unreadable(path, "predictions", "evaluate again."):
            with np.load(path, allow_pickle=False) as arrays:
                loaded = cls(**{name: arrays[name] for name in _ARRAYS}, num_classes=int(arrays["num_classes"]))
            for name in _ARRAYS:
                array, kind = getattr(loaded, name), "f" if name == "confidence" else "i"
                require(array.dtype.kind == kind and array.shape == (len(loaded.label),), f"{name} has another form")
            bounds = {"label": (0, -1), "predicted": (-1, -1), "label_rank": (0, 0)}  # from, to beside num_classes
            for name, (low, above) in bounds.items():
                array = getattr(loaded, name)
                is_valid = (array >= low) & (array <= loaded.num_classes + above)
                require(bool(is_valid.all()), f"{name} does not fit {loaded.num_classes} classes")
        if loaded.num_invalid or not np.isfinite(loaded.confidence).all():
            raise UserInputError(f"{path} holds predictions whose scores are not finite; the model has diverged.")
        return loaded

    def __len__(self) -> int:
        return len(self.label)
