"""Environment sampler: images with replacement, by weights that are learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from lt_plugins.datasets.samplers.epoch_sampler import EpochSampler
from lt_plugins.errors import UserInputError
from lt_plugins.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class EnvironmentSampler(EpochSampler):
    """Environment sampler: draws images with replacement, each by its weight in an environment.

    Without weights all images are drawn equally often, as in the ordinary environment. An image of weight 0 never
    comes. The weights are no state of the sampler: whoever finds them keeps them in a buffer of the model and sets them
    before an epoch, after a resume as well (``EnvironmentHook``).

    Source: Tang et al., "Invariant Feature Learning for Generalized Long-Tailed Classification" (ECCV 2022), section 4;
    each of their environments is drawn with replacement, the ordinary one too.

    Args:
        dataset: A dataset in any nesting of wrappers, or its labels as an array or tensor ``(N,)``, see
            :func:`~lt_plugins.datasets.labels.get_labels`.
        environment (int): Number of the environment, by which its weights are found; 0 is the ordinary one, which has
            none. Defaults to 1.
        num_samples (int, optional): Draws an epoch, of all ranks together; rounded up so that each rank has the same
            number. Defaults to the size of the dataset.
        seed (int, optional): The same on all ranks. Defaults to one drawn from torch's global generator.

    Raises:
        UserInputError: If a number is negative, or the dataset is empty or has no labels.

    Examples:
        >>> train_dataloader = dict(
        ...     sampler=dict(type='EnvironmentSampler', environment=0),
        ...     batch_sampler=dict(type='CompanionBatchSampler', companions=[dict(type='EnvironmentSampler')]))
    """

    def __init__(
        self, dataset: Any, environment: int = 1, num_samples: int | None = None, seed: int | None = None
    ) -> None:
        if environment < 0:
            raise UserInputError(f"environment={environment} must be 0 (the ordinary one) or more.")
        super().__init__(dataset, num_samples, seed)
        self.environment = environment
        self.weights: NDArray[np.float64] | None = None

    def set_weights(self, weights: ArrayLike | torch.Tensor | None) -> None:
        """Set how often each image is drawn, from the next epoch on.

        Args:
            weights (ArrayLike | Tensor | None): Weights ``(N,)`` of any sum, the same on all ranks; None for equal
                ones.

        Raises:
            UserInputError: If there is not one weight an image, one is negative or not finite, or all are 0.
        """
        if weights is None:
            self.weights = None
            return
        values = np.asarray(weights.cpu() if isinstance(weights, torch.Tensor) else weights, dtype=np.float64)
        if values.shape != self.labels.shape:
            raise UserInputError(
                f"weights of environment {self.environment} have shape {values.shape}, expected one for each of the "
                f"{len(self.labels)} images."
            )
        if not (np.isfinite(values).all() and (values >= 0).all() and values.any()):
            raise UserInputError(
                f"weights of environment {self.environment} run from {values.min():g} to {values.max():g}; they must "
                "be finite and not negative, and one positive."
            )
        self.weights = values / values.sum()

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """Draw the images of an epoch.

        Args:
            generator (numpy.random.Generator): Seeded with seed and epoch, the same on all ranks.

        Returns:
            numpy.ndarray: Indices in the dataset, int64, shape ``(total_size,)``.
        """
        return generator.choice(len(self.labels), size=self.total_size, p=self.weights)
