"""Batches that come in several parts of one size, as ``CompanionBatchSampler`` makes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lt_plugins.errors import UserInputError


def check_environments(data_samples: Sequence[Any], num_environments: int) -> None:
    """Refuse a batch that does not split into its parts.

    Args:
        data_samples (Sequence[DataSample]): Annotations of the images.
        num_environments (int): Number of parts, 1 and the number of companions.

    Raises:
        UserInputError: If so.
    """
    if len(data_samples) % num_environments:
        raise UserInputError(
            f"a batch of {len(data_samples)} images does not split into num_environments={num_environments}; "
            "let CompanionBatchSampler make the batches, with as many companions less one."
        )
