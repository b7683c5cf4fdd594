"""Meta sampler: images with replacement, by weights of their classes that are learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from lt_plugins.datasets.samplers.epoch_sampler import EpochSampler
from lt_plugins.errors import UserInputError
from lt_plugins.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class MetaSampler(EpochSampler):
    """Meta sampler: draws images with replacement, each by the learned weight of its class.

    Without weights all images are drawn equally often. The weights are no state of the sampler: a
    :class:`.BALMSHead` learns them, and ``MetaStepHook`` sets them before each epoch.

    Source: Ren et al., "Balanced Meta-Softmax for Long-Tailed Visual Recognition" (NeurIPS 2020), section 3.3.

    Args:
        dataset: A dataset in any nesting of wrappers, or its labels as an array or tensor ``(N,)``, see
            :func:`~lt_plugins.datasets.labels.get_labels`.
        num_samples (int, optional): Draws an epoch, of all ranks together; rounded up so that each rank has the same
            number. Defaults to the size of the dataset.
        seed (int, optional): The same on all ranks. Defaults to one drawn from torch's global generator.

    Raises:
        UserInputError: If the dataset is empty or has no labels.

    Examples:
        >>> train_dataloader = dict(
        ...     sampler=dict(type='MetaSampler'),
        ...     batch_sampler=dict(type='CompanionBatchSampler', companions=[dict(type='ClassAwareSampler')]))
    """

    def __init__(self, dataset: Any, num_samples: int | None = None, seed: int | None = None) -> None:
        super().__init__(dataset, num_samples, seed)
        self.class_weights: NDArray[np.float64] | None = None

    def set_class_weights(self, weights: ArrayLike | torch.Tensor | None) -> None:
        """Set how often an image of each class is drawn, from the next epoch on.

        Args:
            weights (ArrayLike | Tensor | None): Weights ``(C,)`` of any scale, the same on all ranks; None for equal
                ones.

        Raises:
            UserInputError: If a class has no weight, one is negative or not finite, or no image has a positive one.
        """
        if weights is None:
            self.class_weights = None
            return
        values = np.asarray(weights.cpu() if isinstance(weights, torch.Tensor) else weights, dtype=np.float64)
        if values.ndim != 1 or len(values) <= self.labels.max():
            raise UserInputError(
                f"class weights of shape {values.shape} do not fit labels up to {self.labels.max()}; give one a class."
            )
        if not (np.isfinite(values).all() and (values >= 0).all() and values[self.labels].any()):
            raise UserInputError(
                f"class weights run from {values.min():g} to {values.max():g}; they must be finite and not negative, "
                "and one of a class with images positive."
            )
        self.class_weights = values

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """Draw the images of an epoch.

        Args:
            generator (numpy.random.Generator): Seeded with seed and epoch, the same on all ranks.

        Returns:
            numpy.ndarray: Indices in the dataset, int64, shape ``(total_size,)``.
        """
        weights = np.ones(len(self.labels)) if self.class_weights is None else self.class_weights[self.labels]
        return generator.choice(len(self.labels), size=self.total_size, p=weights / weights.sum())
