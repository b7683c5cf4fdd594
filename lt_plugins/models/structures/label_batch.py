"""Labels and predictions of a batch of images, as a few tensors instead of one object an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from importlib import import_module
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from lt_plugins.errors import UserInputError


class LabelBatch(Sequence[Any]):
    """What is known of ``B`` images, each kind as one tensor; for other code a sequence of mmpretrain's ``DataSample``.

    Our preprocessor, heads, losses and metrics read the tensors, so no step runs Python code for each image. An element
    is built when it is asked for: the sample that the batch was made from, with all its fields and meta fields (a new
    one, if it was made from tensors), into which the present labels and predictions are written.

    A batch does not change: :meth:`with_scores`, :meth:`with_predictions` and :meth:`to` return another one.

    Args:
        labels (Tensor, optional): True classes, int64 ``(B,)``.
        scores (Tensor, optional): Shares of the classes of mixed images, ``(B, C)``, which go before ``labels``;
            mmpretrain's ``gt_score``.
        sample_idx (Tensor, optional): Positions of the images in their dataset, int64 ``(B,)``.
        pred_score (Tensor, optional): Predicted probabilities, ``(B, C)``.
        num_experts (Tensor, optional): How many experts each prediction is of, int64 ``(B,)``.
        samples (Sequence[DataSample], optional): The samples of the images.

    Raises:
        ValueError: If nothing is given, or not of as many images.

    Examples:
        >>> batch = LabelBatch(torch.tensor([3, 0]), sample_idx=torch.tensor([17, 4]))
        >>> batch[1].gt_label, batch[1].sample_idx
        (tensor([0]), 4)
    """

    def __init__(
        self,
        labels: Tensor | None = None,
        *,
        scores: Tensor | None = None,
        sample_idx: Tensor | None = None,
        pred_score: Tensor | None = None,
        num_experts: Tensor | None = None,
        samples: Sequence[Any] | None = None,
    ) -> None:
        parts = (labels, scores, sample_idx, pred_score, num_experts, samples)
        sizes = {len(part) for part in parts if part is not None}
        if len(sizes) != 1:
            raise ValueError(f"the parts of a LabelBatch must be of as many images, got {sorted(sizes) or 'none'}.")
        self.labels = labels
        self.scores = scores
        self.sample_idx = sample_idx
        self.pred_score = pred_score
        self.num_experts = num_experts
        self._samples = samples
        self._size = sizes.pop()
        self._built: dict[int, Any] = {}

    @classmethod
    def from_samples(cls, samples: Sequence[Any], device: torch.device | str | None = None) -> LabelBatch:
        """Collect what the samples of a batch hold.

        Args:
            samples (Sequence[DataSample]): One or more; a batch is taken as it is.
            device (torch.device | str, optional): Where the tensors go. Defaults to where they are.

        Returns:
            LabelBatch: Without ``labels`` if not every image has exactly one, without ``sample_idx`` if some image has
            none.
        """
        if not isinstance(samples, LabelBatch):
            samples = cls(
                _labels(samples),
                scores=torch.stack([sample.gt_score for sample in samples]) if "gt_score" in samples[0] else None,
                sample_idx=_sample_idx(samples),
                samples=samples,
            )
        return samples if device is None else samples.to(device)

    @cached_property
    def pred_label(self) -> Tensor | None:
        """Predicted classes, int64 ``(B,)``."""
        return None if self.pred_score is None else self.pred_score.argmax(dim=1)

    @property
    def one_label_each(self) -> Tensor:
        """True classes, int64 ``(B,)``.

        Raises:
            UserInputError: If there are none.
        """
        if self.labels is None:
            raise UserInputError("training needs exactly one gt_label an image; use a labelled single-label dataset.")
        return self.labels

    @property
    def target(self) -> Tensor:
        """What a loss compares with: shares ``(B, C)`` of mixed images, or else classes, int64 ``(B,)``.

        Raises:
            UserInputError: If there is neither.
        """
        return self.one_label_each if self.scores is None else self.scores

    def with_scores(self, scores: Tensor) -> LabelBatch:
        """The batch with mixed labels.

        Args:
            scores (Tensor): Shares of the classes, ``(B, C)``.
        """
        return self._copy(scores=scores)

    def with_predictions(self, pred_score: Tensor, num_experts: Tensor | None = None) -> LabelBatch:
        """The batch with what a model predicts for its images.

        Args:
            pred_score (Tensor): Probabilities of the classes, ``(B, C)``.
            num_experts (Tensor, optional): How many experts each prediction is of, int64 ``(B,)``. Defaults to None:
                the model does not choose.
        """
        return self._copy(pred_score=pred_score, num_experts=num_experts)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> LabelBatch:
        """The batch on another device; labels and positions travel together.

        Args:
            device (torch.device | str): The device.
            non_blocking (bool): As for ``Tensor.to``. Defaults to False.
        """
        batch, labels, sample_idx = self, self.labels, self.sample_idx
        if labels is not None and sample_idx is not None and labels.device == sample_idx.device != torch.device(device):
            labels, sample_idx = torch.stack([labels, sample_idx]).to(device, non_blocking=non_blocking)
            batch = self._copy(labels=labels, sample_idx=sample_idx)
        return batch._map(lambda part: part.to(device, non_blocking=non_blocking))

    def _tensors(self) -> dict[str, Tensor | None]:
        names = ("labels", "scores", "sample_idx", "pred_score", "num_experts")
        return {name: getattr(self, name) for name in names}

    def _copy(self, **changed: Any) -> LabelBatch:
        """The batch with other parts in the place of some."""
        return LabelBatch(**{**self._tensors(), "samples": self._samples, **changed})

    def _map(self, function: Callable[[Tensor], Tensor]) -> LabelBatch:
        """The batch with the result of a function in the place of each tensor."""
        return self._copy(**{k: function(part) for k, part in self._tensors().items() if part is not None})

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> LabelBatch: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            parts: dict[str, Any] = {**self._tensors(), "samples": self._samples}
            return LabelBatch(**{name: None if part is None else part[index] for name, part in parts.items()})
        position = range(self._size)[index]
        if position not in self._built:
            self._built[position] = self._build(position)
        return self._built[position]

    @cached_property
    def _positions(self) -> list[int]:
        return [] if self.sample_idx is None else self.sample_idx.tolist()

    def _build(self, position: int) -> Any:
        """The sample at a position, with the labels and predictions of this batch."""
        if self._samples is not None:
            sample = self._samples[position]
        else:
            # mmpretrain's class; this room works without mmpretrain.
            sample = import_module("mmpretrain.structures").DataSample()
            if self._positions:
                sample.set_metainfo({"sample_idx": self._positions[position]})
        if self.labels is not None:
            sample.set_gt_label(self.labels[position : position + 1])
        if self.scores is not None:
            sample.set_gt_score(self.scores[position])
        if self.pred_score is not None and self.pred_label is not None:
            sample.set_pred_score(self.pred_score[position])
            sample.set_pred_label(self.pred_label[position : position + 1])
        if self.num_experts is not None:
            sample.set_field(int(self.num_experts[position]), "num_experts")
        return sample


def _labels(samples: Sequence[Any]) -> Tensor | None:
    """The classes of images of one class each, int64 ``(B,)``."""
    labels = [sample.get("gt_label") for sample in samples]
    if any(label is None or label.numel() != 1 for label in labels):
        return None
    return torch.cat(labels).long()


def _sample_idx(samples: Sequence[Any]) -> Tensor | None:
    """The positions of images that all have one, int64 ``(B,)``."""
    indices = [sample.get("sample_idx") for sample in samples]
    return torch.tensor(indices) if all(isinstance(index, (int, np.integer)) for index in indices) else None
