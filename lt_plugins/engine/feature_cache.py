"""Features of a frozen network on disk, by the contents of the images."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log
from torch import Tensor

from lt_plugins.atomic_write import atomic_write
from lt_plugins.checkpoints.fingerprint import fingerprint_weights
from lt_plugins.datasets.pipelines import replace_pipeline
from lt_plugins.engine.features import gather_features
from lt_plugins.models.evaluation_mode import evaluation_mode
from lt_plugins.terminal import progress_bar

KEY_BYTES = 16
MAX_BYTES = 4 << 30
"""A file that would be larger keeps the images of the last run alone."""
# How a part of mmengine's kind begins, which its weights tell.
_INIT_CFG = re.compile(r"\n *init_cfg=.*")
# Of the preprocessor, what no feature follows from.
_NO_SETTINGS = ("_seed", "_epoch", "training", "num_classes", "num_parts", "to_onehot")
# What decodes, scales and computes: another version may give other numbers.
_PACKAGES = ("lt_plugins", "mmcv", "mmpretrain", "opencv-python", "opencv-python-headless", "pillow", "torch")


def cache_folder() -> Path:
    """Folder of cached features: ``lt_plugins/features`` in ``XDG_CACHE_HOME``, by default in ``~/.cache``."""
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(home, "lt_plugins", "features")


def cached_features(
    model: Any,
    dataset: Any,
    pipeline: Sequence[dict],
    *,
    folder: Path,
    batch_size: int,
    num_workers: int,
    description: str,
) -> tuple[Tensor, int]:
    """Compute the features of all images of a dataset, but for those that a file in a folder has.

    The file is that of weights, network, transforms, preprocessing, versions and device. In it, a feature is found by a
    hash of its image, so renamed images, other splits and added images cost no more than what is new, and an image that
    was changed is computed from scratch.

    Args:
        model (nn.Module): The classifier without wrappers; its backbone and neck are frozen.
        dataset (Any): The images, in any nesting of wrappers.
        pipeline (Sequence[dict]): Transforms without augmentation.
        folder (Path): Where the file is, or will be.
        batch_size (int): Images a batch.
        num_workers (int): Data-loader workers.
        description (str): Label of the progress bar.

    Returns:
        tuple[Tensor, int]: Features ``(N, D)``, float32 on the CPU, in the order of the dataset, on every rank; and of
        how many images they were computed.
    """
    path = folder / f"{feature_identity(model, pipeline)[:32]}.npz"
    known: dict[bytes, np.ndarray] = {}
    plan: list[Any] = [None, None, None]
    if is_main_process():
        keys = image_keys(dataset)
        known = _read(path)
        found = [known.get(key) for key in keys]
        missing = [index for index, row in enumerate(found) if row is None]
        rows = [row for row in found if row is not None]
        plan = [keys, missing, torch.from_numpy(np.stack(rows)) if rows else None]
    broadcast_object_list(plan)
    keys, missing, stored = plan
    if missing:
        with evaluation_mode(model):
            computed = gather_features(
                lambda batch: model.extract_feat(model.data_preprocessor(batch, training=False)["inputs"])[-1],
                replace_pipeline(dataset, pipeline),
                batch_size=batch_size,
                num_workers=num_workers,
                indices=missing,
                description=description,
            )
        features = computed if stored is None else torch.empty(len(keys), stored.shape[1])
        if stored is not None:
            is_missing = torch.zeros(len(keys), dtype=torch.bool)
            is_missing[missing] = True
            features[is_missing] = computed
            features[~is_missing] = stored
        if is_main_process():
            _write(path, known, dict(zip(keys, features.numpy(), strict=True)))
    else:
        features = stored
    return features, len(missing)


def feature_identity(model: Any, pipeline: Sequence[dict]) -> str:
    """Hash of all that a feature follows from, but for its image.

    Args:
        model (nn.Module): The classifier.
        pipeline (Sequence[dict]): The transforms.

    Returns:
        str: 64 hexadecimal digits.
    """
    parts = (model.backbone, model.neck)
    preprocessor = model.data_preprocessor
    settings = {
        name: value
        for name, value in vars(preprocessor).items()
        if isinstance(value, (bool, int, float, str)) and name not in _NO_SETTINGS
    }
    described = {
        "networks": [_INIT_CFG.sub("", repr(part)) for part in parts],
        "weights": [fingerprint_weights(part.state_dict()) for part in parts],
        "preprocessor": settings,
        "normalisation": [getattr(preprocessor, name).flatten().tolist() for name in ("mean", "std")]
        if preprocessor._enable_normalize
        else None,
        "pipeline": [dict(step) for step in pipeline],
        "versions": _versions(),
        "device": next(model.parameters()).device.type,
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()


def image_keys(dataset: Any) -> list[bytes]:
    """Hash the image of each sample: its file, or its pixels where it is no file.

    Args:
        dataset (Any): The images, in any nesting of wrappers.

    Returns:
        list[bytes]: One of 16 bytes a sample.
    """
    keys = []
    with progress_bar() as progress:
        for index in progress.track(range(len(dataset)), description="looking for known images"):
            keys.append(_image_key(dataset.get_data_info(index)))
    return keys


def _image_key(info: Mapping[str, Any]) -> bytes:
    digest = hashlib.blake2b(digest_size=KEY_BYTES)
    if info.get("img_path") is not None:
        try:
            digest.update(Path(info["img_path"]).read_bytes())
        except OSError:  # which reading the image says best
            return os.urandom(KEY_BYTES)
    else:
        pixels = np.ascontiguousarray(info["img"])
        digest.update(f"{pixels.dtype} {pixels.shape} {info.get('channel_order')} ".encode())
        digest.update(pixels.tobytes())
    return digest.digest()


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except ModuleNotFoundError:  # PackageNotFoundError is one
            continue
    return found


def _read(path: Path) -> dict[bytes, np.ndarray]:
    """Features by the hash of their image; none where there is no such file or a damaged one."""
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as content:
            keys, features = content["keys"], content["features"]
        if keys.dtype != np.uint8 or keys.shape != (len(features), KEY_BYTES) or features.dtype != np.float32:
            raise ValueError("it holds no features")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        print_log(f"{path} cannot be read ({error}): the features are computed anew.", "current", logging.WARNING)
        return {}
    return {key.tobytes(): row for key, row in zip(keys, features, strict=True)}


def _write(path: Path, known: Mapping[bytes, np.ndarray], own: Mapping[bytes, np.ndarray]) -> None:
    """Add the features of a run to those of the file; without a place to write the run goes on."""
    row_bytes = next(iter(own.values())).nbytes + KEY_BYTES
    rows = {**known, **own}
    if len(rows) * row_bytes > MAX_BYTES:
        rows = dict(own)
    buffer = io.BytesIO()
    keys = np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(-1, KEY_BYTES)
    np.savez(buffer, keys=keys, features=np.stack(list(rows.values())))
    try:
        atomic_write(path, buffer.getvalue())
    except OSError as error:
        print_log(f"the features are not kept for other runs: {error}.", "current", logging.WARNING)
