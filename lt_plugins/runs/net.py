"""Another network for any classifier, ``net = NAME`` in a config: its backbone by name, and the widths that follow."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import mmpretrain
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from lt_plugins.checks.did_you_mean import did_you_mean
from lt_plugins.errors import UserInputError

TIMM = "timm/"
POOLING = {"type": "GlobalAveragePooling"}
WIDTHS = ("in_channels", "hid_channels", "hidden_channels")
# Parts whose sizes are not those of the features.
OTHERS = ("backbone", "predictor", "teachers")
MAX_SHOWN = 4
SIZES = (64, 224, 256)  # of an image, of which some networks take but one
_shapes: dict[str, tuple[int, ...] | None] = {}  # a large network takes a second, and a config is read several times
CLIP_ACTIVATION = {"act_cfg": {"type": "mmpretrain.QuickGELU"}}
# Networks that torchvision, CLIP and this package name otherwise than mmpretrain.
OWN: dict[str, dict[str, Any]] = {
    "lite0": {"type": "EfficientNetLite0"},
    **{
        f"vit-{size}-{patch}": {"type": "VisionTransformer", "arch": size, "img_size": 224, "patch_size": patch}
        for size, patch in (("b", 16), ("b", 32), ("l", 16), ("l", 32))
    },
    **{
        f"clip-vit-{size}-{patch}": {
            **{"type": "VisionTransformer", "arch": size, "img_size": 224, "patch_size": patch},
            **{"pre_norm": True, "norm_cfg": {"type": "LN", "eps": 1e-5}, "layer_cfgs": CLIP_ACTIVATION},
        }
        for size, patch in (("b", 16), ("b", 32), ("l", 14))
    },
}


def use_net(cfg: Config) -> None:
    """Put the network that ``net`` names in place of the backbone, and fit what reads its features.

    Args:
        cfg (Config): A config before its stages are derived; changed in place, ``net`` is removed.

    Raises:
        UserInputError: If there is no such network, or the method is made for a backbone of its own.
    """
    name = cfg.pop("net")
    model = cfg.get("model") or {}
    before = model.get("backbone")
    if not isinstance(before, dict) or cfg.get("default_scope") == "mmdet":
        raise UserInputError(f"net={name}: {cfg.filename} has no classifier with a backbone.")
    special = [key for key in ("num_experts", "last_stages") if key in before]
    if special or str(before.get("type")) in ("SHIKEResNet", "LastBlockResNet"):
        raise UserInputError(
            f"net={name}: the method of {cfg.filename} needs its own backbone, {before.get('type')}, which is made for "
            "its experts; take a method with one plain backbone."
        )
    model["backbone"] = find_net(name)
    follow_backbone(cfg)


def find_net(name: str) -> dict[str, Any]:
    """Find the config of a backbone by its name.

    Args:
        name (str): ``timm/MODEL`` for any model of timm; ``lite0``; ``vit_b_16``, ``clip_vit_b_16`` and the like; or a
            network of mmpretrain by the file of its ``configs/_base_/models``, such as ``convnext-tiny``,
            ``resnet50``, ``efficientnet_b0`` or ``swin_transformer/tiny_224``.

    Returns:
        dict: Its config, without weights.

    Raises:
        UserInputError: If there is none, or there are several.
    """
    if name.startswith(TIMM):
        return {"type": "TimmFeatures", "model_name": name.removeprefix(TIMM)}
    plain = _plain(name)
    if plain in OWN:
        return copy.deepcopy(OWN[plain])
    files = _mmpretrain_files()
    found = sorted(key for key in files if key == plain or key.endswith(f"/{plain}"))
    if not found:
        hint = did_you_mean(plain, {*OWN, *(key.rpartition("/")[2] for key in files)})
        raise UserInputError(f"net={name!s:.60} is no network of mmpretrain{hint} One of timm is net=timm/NAME.")
    if len(found) > 1:
        raise UserInputError(f"net={name} could be {', '.join(found[:MAX_SHOWN])}; give one of them.")
    backbone = Config.fromfile(files[found[0]]).model.backbone.to_dict()
    backbone.pop("frozen_stages", None)
    return dict(backbone)


def follow_backbone(cfg: Config) -> None:
    """Give head, projector and neck of all stages the width of the features of the backbone.

    Args:
        cfg (Config): A config before its stages are derived; changed in place. Left as it is where the backbone cannot
            be built or run, which the checks before training put into words.
    """
    shape = features_shape(cfg)
    if shape is None:
        return
    old = next(_widths(cfg.model.get("head")), None)
    for part in [cfg, *(cfg[key] for key in cfg if str(key).startswith("stage") and isinstance(cfg[key], dict))]:
        model = part.get("model")
        if not isinstance(model, dict):
            continue
        for name, node in model.items():
            if name not in OTHERS and old is not None:
                _replace_width(node, old, shape[1])
        # A network that pools needs no pooling; one that gives maps does.
        if len(shape) == 2 and (model.get("neck") in (None, POOLING)) and "type" in model:
            model["neck"] = []
        elif len(shape) == 4 and model.get("neck") == [] and not _reads_maps(model.get("head")):
            model["neck"] = dict(POOLING)


def _reads_maps(head: Any) -> bool:
    """Whether a head takes the maps of the backbone as they are, and no features of a whole image."""
    return isinstance(head, dict) and getattr(MODELS.get(str(head.get("type"))), "reads_maps", False)


def features_shape(cfg: Config) -> tuple[int, ...] | None:
    """Shape of the features of the backbone for one image; None if it cannot be built or run.

    Args:
        cfg (Config): The config.
    """
    scope = cfg.get("default_scope", "mmpretrain")
    backbone = {**cfg.model.backbone, "init_cfg": None}
    key = f"{scope} {backbone}"
    if key not in _shapes:
        init_default_scope(scope)
        _shapes[key] = _run_once(backbone)
    return _shapes[key]


def _run_once(backbone: dict[str, Any]) -> tuple[int, ...] | None:
    with torch.random.fork_rng(devices=[]), torch.no_grad(), suppress(Exception):  # of any network, for any reason
        module = MODELS.build(backbone)
        module.eval()
        for size in SIZES:
            with suppress(Exception):
                features = module(torch.zeros(1, 3, size, size))
                return tuple((features[-1] if isinstance(features, (tuple, list)) else features).shape)
    return None


def _widths(node: Any) -> Iterator[int]:
    if isinstance(node, Mapping):
        if isinstance(node.get("in_channels"), int):
            yield node["in_channels"]
        for value in node.values():
            yield from _widths(value)


def _replace_width(node: Any, old: int, new: int) -> None:
    if isinstance(node, dict):
        for key in WIDTHS:
            if node.get(key) == old:
                node[key] = new
        for value in node.values():
            _replace_width(value, old, new)
    elif isinstance(node, (list, tuple)):
        for value in node:
            _replace_width(value, old, new)


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


@functools.cache
def _mmpretrain_files() -> dict[str, Path]:
    """Files of mmpretrain's networks by their plain names, with their folder where they have one."""
    root = Path(mmpretrain.__file__).parent / ".mim" / "configs" / "_base_" / "models"
    return {_plain(str(path.relative_to(root).with_suffix(""))): path for path in sorted(root.rglob("*.py"))}
