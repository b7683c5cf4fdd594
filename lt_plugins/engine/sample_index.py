"""Index of a sample: whether the samples of a dataset say which image they are."""

from __future__ import annotations

from typing import Any

from lt_plugins.errors import UserInputError


def check_sample_index(dataset: Any) -> None:
    """Refuse a dataset whose samples do not have their position in it, by which buffers are written and read.

    Args:
        dataset (Dataset): The training set.

    Raises:
        UserInputError: If the last sample has another index.
    """
    last = len(dataset) - 1
    found = dataset[last]["data_samples"].get("sample_idx")
    if found != last:
        raise UserInputError(
            f"the last training sample has sample_idx={found}, expected {last}, so what is learned of an image would "
            "go to others; pack it by PackInputs, and wrap concatenated datasets in IndexedDataset."
        )
