"""Origin of pretrained weights: which labels they have seen, and how their images were normalised."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torchvision.models import get_model_weights, list_models  # type: ignore[import-untyped]

from lt_plugins.checkpoints.lite0_weights import LITE0_ADDRESS
from lt_plugins.checkpoints.normalisation import Normalisation, recorded_normalisation, run_record
from lt_plugins.checkpoints.pretrained_weights import MatchedWeights
from lt_plugins.checkpoints.weight_naming import CLIP, LITE0
from lt_plugins.models.backbones.efficientnet_lite0 import LITE0_MEAN, LITE0_STD

IMAGENET = "ImageNet-1k labels"
IMAGENET_21K = "ImageNet-21k labels"
BOTH = "ImageNet-21k and ImageNet-1k labels"
CLIP_TEXTS = "image-text pairs of the web (CLIP)"
IMAGENET_21K_CLASSES = (21841, 21842, 21843, 11221, 11821, 10450)  # as several packages count and prune them
TAG_21K = ("in21k", "in22k", "21k")


OF_IMAGENET = Normalisation("ImageNet's", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
OF_CLIP = Normalisation("CLIP's", (122.7709383, 116.7460125, 104.09373615), (68.5005327, 66.6321579, 70.32316305))
OF_LITE0 = Normalisation("Lite0's", LITE0_MEAN, LITE0_STD)


class Origin(NamedTuple):
    """Origin of weights, as far as it is known.

    Args:
        labels (str): Labels that they have seen, for ``pretrained_on``.
        normalisation (Normalisation | None): What their images were normalised by; None if it is not known.
    """

    labels: str
    normalisation: Normalisation | None


def find_origin(source: str, checkpoint: Mapping[str, Any], matched: MatchedWeights) -> Origin:
    """Find out where weights come from.

    By the address, torchvision's name of the file, the ``config.json`` that lies beside weights of timm, the run record
    of our own checkpoints, the naming scheme, and at last by the number of classes of the classifier in the file.

    Args:
        source (str): The file or address.
        checkpoint (Mapping): What it holds.
        matched (MatchedWeights): Its weights as :func:`~lt_plugins.checkpoints.pretrained_weights.match_weights` found.

    Returns:
        Origin: Labels, and normalisation.
    """
    name = Path(source).name
    if source == LITE0_ADDRESS or matched.label == LITE0:
        return Origin(IMAGENET, OF_LITE0)
    if source.startswith("torchvision://"):
        return Origin(IMAGENET, OF_IMAGENET)
    if (known := _torchvision_files().get(name)) is not None:
        return known
    if (record := run_record(checkpoint)) is not None:
        return _own_origin(record, name)
    if matched.label.startswith(CLIP):
        return Origin(CLIP_TEXTS, OF_CLIP)
    told = _timm_config(Path(source).parent / "config.json")
    tag = f"{name} {told.get('tag', '')} {told.get('architecture', '')}".lower()
    return Origin(_labels(matched.num_classes, tag, name), _normalisation(told, matched.label))


def _labels(num_classes: int | None, tag: str, name: str) -> str:
    """Labels by the length of the classifier and the words in the name."""
    saw_21k = any(word in tag for word in TAG_21K)
    if num_classes == 1000:
        return BOTH if saw_21k else f"{IMAGENET} (by its 1000 classes)"
    if num_classes in IMAGENET_21K_CLASSES:
        return f"{IMAGENET_21K} (by its {num_classes} classes)"
    return f"unknown labels ({name})" if num_classes is None else f"unknown labels of {num_classes} classes ({name})"


def _normalisation(told: Mapping[str, Any], label: str) -> Normalisation | None:
    """What the file beside the weights says, or what all weights of a scheme want; timm's transformers differ."""
    mean, std = _rgb(told.get("mean")), _rgb(told.get("std"))
    if mean is not None and std is not None:
        return Normalisation("config.json's", mean, std)
    return None if label in ("timm ViT", "mmpretrain naming", "naming of the backbone itself") else OF_IMAGENET


def _rgb(values: Any) -> tuple[float, ...] | None:
    """Three numbers of 0..1 in values of 0..255."""
    is_rgb = isinstance(values, list) and len(values) == 3 and all(isinstance(value, (int, float)) for value in values)
    return tuple(255 * value for value in values) if is_rgb else None


def _timm_config(path: Path) -> dict[str, Any]:
    """``pretrained_cfg`` of the file that timm writes beside its weights, with the architecture; empty without one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    told = content.get("pretrained_cfg") if isinstance(content, dict) else None
    return {"architecture": content.get("architecture"), **told} if isinstance(told, dict) else {}


def _own_origin(record: Mapping[str, Any], name: str) -> Origin:
    """Origin of a checkpoint of this package, whose record knows classes, normalisation and earlier labels."""
    classes = record.get("class_names") or ()
    earlier = record.get("pretrained_on")
    labels = f"labels of {len(classes) or 'its'} classes ({name})" + (f", and {earlier}" if earlier else "")
    return Origin(labels, recorded_normalisation(record))


@functools.cache
def _torchvision_files() -> dict[str, Origin]:
    """Origin of torchvision's classifiers, by the names of their files."""
    found = {}
    for model in list_models():
        for entry in get_model_weights(model):
            if len(entry.meta.get("categories") or ()) != 1000:
                continue
            transforms = entry.transforms()
            mean, std = (tuple(255 * value for value in getattr(transforms, part, ())) for part in ("mean", "std"))
            labels = f"Instagram hashtags, then {IMAGENET}" if "SWAG" in entry.name else IMAGENET
            same = all(
                abs(a - b) < 0.01 for a, b in zip((*mean, *std), (*OF_IMAGENET.mean, *OF_IMAGENET.std), strict=False)
            )
            own = OF_IMAGENET if same else Normalisation("torchvision's", mean, std)
            found[entry.url.rpartition("/")[2]] = Origin(labels, own if len(mean) == len(std) == 3 else None)
    return found
