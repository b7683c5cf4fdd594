"""Image reader: passes files through the test transforms in worker processes, batch by batch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import cv2
import torch
from mmengine.dataset import Compose
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lt_plugins.datasets.image_file import ImageFileError
from lt_plugins.datasets.integrity import DECODE_ERRORS, describe_decode_error
from lt_plugins.errors import UserInputError

MAX_WORKERS = 8


class ImageBatch(NamedTuple):
    """Batch of images in the order of their paths.

    Args:
        paths (tuple[str, ...]): The ``B`` paths.
        problems (tuple[str, ...]): Why an image cannot be read, empty for one that can.
        groups (tuple[tuple[list[int], Tensor], ...]): Images of one size, as the transforms give them, ``(N, 3, H,
            W)``, with their positions in the batch.
    """

    paths: tuple[str, ...]
    problems: tuple[str, ...]
    groups: tuple[tuple[list[int], Tensor], ...]


def read_batches(paths: Iterable[str], pipeline: Compose, batch_size: int, num_workers: int) -> Iterator[ImageBatch]:
    """Read images in order; of all of them only a few batches are in memory at any time.

    Args:
        paths (Iterable[str]): The images; taken one batch after the other, in this process.
        pipeline (Compose): The transforms, from a dict with ``img_path`` to one with ``inputs``.
        batch_size (int): Images a batch.
        num_workers (int): Processes that read; 0 for this one.

    Yields:
        ImageBatch: The next batch.
    """
    yield from DataLoader(
        _Files(pipeline),
        # torch hands each of these on to a worker and asks for the next when a batch has come back.
        batch_sampler=_batches(paths, batch_size),
        num_workers=num_workers,
        collate_fn=_collate,
        worker_init_fn=_start_worker,
        # Own generator: the random state of the process stays what it is.
        generator=torch.Generator().manual_seed(0),
    )


def choose_workers(given: int | None) -> int:
    """Number of processes that read images.

    Args:
        given (int | None): What the user asks for; None for one a core, at most 8.

    Raises:
        UserInputError: If it is negative.
    """
    if given is not None and given < 0:
        raise UserInputError(f"--workers {given} must be 0 or more.")
    return min(len(os.sched_getaffinity(0)), MAX_WORKERS) if given is None else given


class _Read(NamedTuple):
    path: str
    image: Tensor | None
    problem: str


class _Files(Dataset):
    """Images by their paths."""

    def __init__(self, pipeline: Compose) -> None:
        self.pipeline = pipeline

    def __getitem__(self, path: str) -> _Read:
        try:
            image: Any = self.pipeline({"img_path": path, "sample_idx": -1})["inputs"]
        except DECODE_ERRORS as error:
            cause = error.__cause__ if isinstance(error.__cause__, ImageFileError) else error
            return _Read(path, None, describe_decode_error(cause))
        return _Read(path, image, "")


def _batches(paths: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(paths)
    while batch := list(islice(iterator, size)):
        yield batch


def _collate(images: Sequence[_Read]) -> ImageBatch:
    """Stack images of one size, so that few tensors go from process to process."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for position, read in enumerate(images):
        if read.image is not None:
            groups.setdefault(tuple(read.image.shape), []).append(position)
    paths, tensors, problems = zip(*images, strict=True)
    stacks = tuple((positions, torch.stack([tensors[i] for i in positions])) for positions in groups.values())
    return ImageBatch(paths, problems, stacks)


def _start_worker(_: int) -> None:
    cv2.setNumThreads(0)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # a broken image has a row of its own
