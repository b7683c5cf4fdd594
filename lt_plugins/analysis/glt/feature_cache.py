"""Features of a pool of images, computed once and kept."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lt_plugins.analysis.glt.extractors import Extractor, unit_features
from lt_plugins.analysis.glt.image_pool import ImagePool
from lt_plugins.atomic_write import atomic_write
from lt_plugins.datasets.pipelines import replace_pipeline
from lt_plugins.engine.features import gather_features
from lt_plugins.unreadable import refuse_unreadable, require


def cached_features(
    pool: ImagePool,
    hashes: Sequence[str],
    extractor: Extractor,
    cache: Path,
    batch_size: int = 64,
    num_workers: int = 0,
) -> tuple[Tensor, Path]:
    """Compute the unit features of all images, or read them where they were computed before.

    The name of the file is a hash of paths, contents and extractor, so a changed image or network is another file.

    Args:
        pool (ImagePool): ``N`` readable images.
        hashes (Sequence[str]): Hash of the file of each, ``N`` of them.
        extractor (Extractor): What gives the features.
        cache (Path): Folder of the features.
        batch_size (int): Images a batch. Defaults to 64.
        num_workers (int): Data-loader workers. Defaults to 0.

    Returns:
        tuple[Tensor, Path]: Unit rows ``(N, D)``, float32, on the CPU, and their file.

    Raises:
        UserInputError: If a feature is not finite, or the file of the cache is damaged.
    """
    path = cache / f"features_{list_hash(pool.paths, hashes, extractor.identity)[:32]}.npy"
    if path.is_file():
        with refuse_unreadable(path, "cached features", "delete it, and they are computed anew"):
            stored = np.load(path, allow_pickle=False)
            require(stored.dtype == np.float32 and stored.ndim == 2, f"it holds {stored.dtype} {stored.shape}")
            require(len(stored) == len(pool), f"it has {len(stored)} rows for {len(pool)} images")
        return torch.from_numpy(stored), path
    features = unit_features(
        gather_features(
            extractor.extract,
            replace_pipeline(pool.dataset, extractor.pipeline),
            batch_size=batch_size,
            num_workers=num_workers,
        )
    )
    buffer = io.BytesIO()
    np.save(buffer, features.numpy())
    atomic_write(path, buffer.getvalue())
    return features, path


def list_hash(paths: Sequence[str], hashes: Sequence[str], identity: str = "") -> str:
    """Hash of a list of images and, perhaps, of what is made of it.

    Args:
        paths (Sequence[str]): Relative paths.
        hashes (Sequence[str]): Hashes of the files.
        identity (str): Of the extractor. Defaults to none.

    Returns:
        str: 64 hexadecimal digits.
    """
    lines = [identity, *(f"{value} {path}" for path, value in zip(paths, hashes, strict=True))]
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
