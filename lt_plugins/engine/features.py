"""Feature passes: run a model over a dataset on all ranks, each sample exactly once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from mmengine.dataset import pseudo_collate
from mmengine.dist import all_gather_object, all_reduce, get_rank, get_world_size
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from lt_plugins.datasets.resident_dataset import ResidentDataset
from lt_plugins.errors import UserInputError
from lt_plugins.terminal import printable, progress_bar

Extract = Callable[[dict[str, Any]], Tensor]


def stream_features(
    extract: Extract,
    dataset: Dataset,
    *,
    batch_size: int = 256,
    num_workers: int = 0,
    indices: Sequence[int] | Tensor | None = None,
    description: str = "features",
) -> Iterator[tuple[Tensor, Tensor]]:
    """Run a model over a dataset and yield the features of this rank's samples, batch by batch.

    Rank ``r`` of ``R`` takes every ``R``-th sample, so together the ranks see each sample once: nothing is padded or
    repeated, and ranks may yield different numbers of batches (do not call collectives inside the loop). Only one batch
    is alive at a time. The main process shows a progress bar, if stderr is a terminal.

    Args:
        extract (Callable): Takes a batch as collated by mmengine (``inputs``: list of images, ``data_samples``) and
            returns features of shape ``(B, ...)``. Runs under ``torch.inference_mode``.
        dataset (Dataset): Dataset with the test pipeline (see :func:`lt_plugins.datasets.pipelines.replace_pipeline`).
        batch_size (int): Images a batch. Defaults to 256.
        num_workers (int): Data-loader workers; a ``ResidentDataset`` needs none. Defaults to 0.
        indices (Sequence[int] | Tensor, optional): Which samples to visit. Defaults to all.
        description (str): Label of the progress bar. Defaults to ``"features"``.

    Yields:
        tuple[Tensor, Tensor]: Positions of the samples in ``dataset``, int64 ``(B,)`` on the CPU, and their features.

    Raises:
        UserInputError: If ``extract`` does not return one feature a sample, or, after the last one, if some were not
            finite.
    """
    finite = torch.ones((), dtype=torch.bool)
    own = _positions(dataset, indices)[get_rank() :: get_world_size()].contiguous()
    loader = DataLoader(
        Subset(dataset, own.tolist()),
        batch_size=batch_size,
        num_workers=0 if isinstance(dataset, ResidentDataset) else num_workers,
        collate_fn=pseudo_collate,
        # Own generator: the pass must not move the random state of the training run.
        generator=torch.Generator().manual_seed(0),
    )
    with progress_bar() as progress:
        task = progress.add_task(printable(description), total=len(own))
        # No strict zip: without any sample the loader has no batch, but split() still gives one, empty.
        for batch, positions in zip(loader, own.split(batch_size), strict=False):
            with torch.inference_mode():
                features = extract(batch)
            if len(features) != len(positions):
                raise UserInputError(
                    f"extract returned {len(features)} features for a batch of {len(positions)} samples."
                )
            yield positions, features
            finite = finite.to(features.device) & features.isfinite().all()  # asked for once, at the end
            progress.advance(task, len(positions))
    if not finite:
        raise UserInputError(
            f"the {description} of some images are not finite: the model has diverged; use an earlier checkpoint."
        )


def gather_features(
    extract: Extract,
    dataset: Dataset,
    *,
    batch_size: int = 256,
    num_workers: int = 0,
    indices: Sequence[int] | Tensor | None = None,
    description: str = "features",
) -> Tensor:
    """Run a model over a dataset and collect one feature a sample, in dataset order, on every rank.

    For global features, or a few local ones a sample; a whole set of local features does not fit into memory: use
    :func:`stream_features`.

    Args:
        extract (Callable): As in :func:`stream_features`.
        dataset (Dataset): Dataset with the test pipeline.
        batch_size (int): Images a batch. Defaults to 256.
        num_workers (int): Data-loader workers. Defaults to 0.
        indices (Sequence[int] | Tensor, optional): Which samples to visit. Defaults to all.
        description (str): Label of the progress bar. Defaults to ``"features"``.

    Returns:
        Tensor: Shape ``(N, ...)``, float32 on the CPU, one row for each of ``indices`` in ascending order, without
            repetitions.

    Raises:
        UserInputError: If no sample is visited.
    """
    chosen = _positions(dataset, indices).unique()
    if not len(chosen):
        raise UserInputError("there is no sample to compute features of.")
    gathered: Tensor | None = None
    stream = stream_features(
        extract, dataset, batch_size=batch_size, num_workers=num_workers, indices=chosen, description=description
    )
    for positions, features in stream:
        if gathered is None:
            gathered = torch.zeros(len(chosen), *features.shape[1:], dtype=torch.float32)
        gathered[torch.searchsorted(chosen, positions)] = features.float().cpu()
    # A rank that had no sample learns the shape of a row from the others.
    shapes = all_gather_object(None if gathered is None else gathered.shape)
    if gathered is None:
        gathered = torch.zeros(next(shape for shape in shapes if shape is not None), dtype=torch.float32)
    all_reduce(gathered, op="sum")
    return gathered


def _positions(dataset: Dataset, indices: Sequence[int] | Tensor | None) -> Tensor:
    if indices is None:
        return torch.arange(len(dataset))  # type: ignore[arg-type]
    return torch.as_tensor(indices, dtype=torch.int64, device="cpu")
