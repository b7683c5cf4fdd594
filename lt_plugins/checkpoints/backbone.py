"""The backbone of a classifier by itself: read from a checkpoint, written for others, named to a detector."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.config import Config
from torch import Tensor
from torchvision.models import get_model  # type: ignore[import-untyped]

from lt_plugins.atomic_write import atomic_write
from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.checkpoints.run_checkpoints import resolve_checkpoint
from lt_plugins.checkpoints.safetensors_file import SAFETENSORS_SUFFIX, is_safetensors, pack_safetensors
from lt_plugins.errors import UserInputError

BACKBONE_PREFIX = "backbone."
RANDOM_BACKBONE = "random"
# Those of torchvision with the architecture of mmpretrain's ResNet and ResNeXt.
TORCHVISION_MODELS = (
    *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"),
)


class Backbone(NamedTuple):
    """A backbone out of a checkpoint.

    Args:
        weights (dict[str, Tensor]): Its tensors by their names inside the backbone, ``conv1.weight`` and so on.
        left_out (Counter[str]): How many tensors of which other part of the model the file holds.
        epoch (int | None): Epochs it was trained for, if the file says.
    """

    weights: dict[str, Tensor]
    left_out: Counter[str]
    epoch: int | None

    def describe(self) -> str:
        """What was kept and what was not, in a line."""
        size = sum(value.numel() * value.element_size() for value in self.weights.values()) / 2**20
        rest = ", ".join(f"{count} of {part}" for part, count in sorted(self.left_out.items()))
        trained = f", trained for {self.epoch} epochs" if self.epoch is not None else ""
        return f"{len(self.weights)} tensors of the backbone ({size:.1f} MB{trained}); left out: {rest or 'nothing'}"


def read_backbone(path: str | Path, allow_pickle: bool = False) -> Backbone:
    """Take the backbone out of a checkpoint.

    Args:
        path (str | Path): A checkpoint of any classifier, of whose encoders the trained one (not the momentum encoder)
            is taken; the work dir of its run, whose last checkpoint is taken; or a file that holds a backbone alone,
            with or without ``backbone.`` before its names: one written by :func:`write_backbone`, or weights of
            torchvision. ``.pth`` or ``.safetensors``.
        allow_pickle (bool): As for :func:`load_checkpoint`. Defaults to False.

    Returns:
        Backbone: Its tensors.

    Raises:
        UserInputError: If the file is missing, damaged, or holds no backbone, or one of several experts.
    """
    checkpoint = load_checkpoint(resolve_checkpoint(str(path), allow_pickle), "cpu", allow_pickle)
    state_dict = checkpoint.get("state_dict", checkpoint)
    tensors = {k.removeprefix("module."): v for k, v in state_dict.items() if isinstance(v, Tensor)}
    weights = {k.removeprefix(BACKBONE_PREFIX): v for k, v in tensors.items() if k.startswith(BACKBONE_PREFIX)}
    rest = [key for key in tensors if not key.startswith(BACKBONE_PREFIX)]
    if not weights:  # a bare backbone, perhaps with its classifier
        weights = {key: value for key, value in tensors.items() if not key.startswith(("fc.", "head."))}
        rest = [key for key in tensors if key not in weights]
    if not weights:
        raise UserInputError(f"{path} holds no tensor of a backbone; give a checkpoint of a classifier.")
    if any(".experts." in key for key in weights):
        raise UserInputError(
            f"{path} holds a backbone of several experts, of which others could take but one; "
            "train one with num_experts=1, which has the names of a plain network."
        )
    meta = checkpoint.get("meta")
    epoch = meta.get("epoch") if isinstance(meta, dict) else None
    return Backbone(weights, Counter(key.partition(".")[0] for key in rest), epoch)


def write_backbone(weights: Mapping[str, Tensor], path: str | Path, prefix: str = BACKBONE_PREFIX) -> None:
    """Write a backbone and nothing else, atomically.

    Args:
        weights (Mapping[str, Tensor]): Its tensors by their names inside the backbone.
        path (str | Path): The file: ``.pth`` or ``.safetensors``.
        prefix (str): What goes before the names. Defaults to ``backbone.``, by which mmpretrain and mmdet find it.
            With an empty one a ``.pth`` file holds the tensors by name alone, as ``torchvision`` reads them.

    Raises:
        UserInputError: If the name of the file has another ending, or safetensors is not installed.
    """
    # Clones: of a view torch would write the whole tensor behind it.
    named = {prefix + key: value.detach().cpu().contiguous().clone() for key, value in weights.items()}
    if is_safetensors(path):
        data = pack_safetensors(named)
    elif Path(path).suffix == ".pth":
        buffer = io.BytesIO()
        # torchvision's load_state_dict takes tensors by name and nothing around them.
        torch.save({"state_dict": named} if prefix else named, buffer)
        data = buffer.getvalue()
    else:
        raise UserInputError(f"{path} must end in .pth or {SAFETENSORS_SUFFIX}, which says what to write.")
    atomic_write(path, data)


def find_torchvision_model(weights: Mapping[str, Tensor]) -> str:
    """The model of torchvision that takes a backbone as it is.

    Args:
        weights (Mapping[str, Tensor]): Its tensors by their names inside the backbone.

    Returns:
        str: Its name in ``torchvision.models``.

    Raises:
        UserInputError: If there is none.
    """
    shapes = {key: value.shape for key, value in weights.items()}
    for name in TORCHVISION_MODELS:
        with torch.device("meta"):
            state_dict = get_model(name, weights=None).state_dict()
        if shapes == {key: value.shape for key, value in state_dict.items() if not key.startswith("fc.")}:
            return name
    raise UserInputError(
        f"torchvision has no model with these {len(weights)} tensors ({', '.join([*weights][:3])}, ...); "
        f"of those that it can name ({', '.join(TORCHVISION_MODELS)}) none fits, so leave --torchvision-keys out."
    )


def set_backbone(cfg: Config, source: str, allow_pickle: bool = False) -> None:
    """Tell the config of a detector which backbone to start from.

    Args:
        cfg (Config): A config with ``LoadBackboneHook`` in its ``custom_hooks``; changed in place.
        source (str): A checkpoint as for :func:`read_backbone`, or ``random``.
        allow_pickle (bool): As for :func:`load_checkpoint`. Defaults to False.

    Raises:
        UserInputError: If the config is none of a detector, or the file is missing.
    """
    hooks = [hook for hook in cfg.get("custom_hooks", []) if hook["type"] == "LoadBackboneHook"]
    if not hooks:
        raise UserInputError(
            f"--backbone {source}: {cfg.filename} has no dict(type='LoadBackboneHook') in custom_hooks; the option is "
            "for detectors (configs/detection). A classifier takes --pretrained FILE."
        )
    if source != RANDOM_BACKBONE and not Path(source).exists():
        raise UserInputError(f"--backbone {source} does not exist; give a checkpoint, or {RANDOM_BACKBONE!r}.")
    hooks[0].update(checkpoint=source, allow_pickle=allow_pickle)
