"""Feature extractors, whose clusters become attributes: EfficientNet-Lite0, a file of weights, a trained model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmengine.model import ImgDataPreprocessor
from torch import Tensor, nn
from torchvision.models import get_model  # type: ignore[import-untyped]

from lt_plugins.analysis.trained_model import load_trained_model
from lt_plugins.checkpoints.backbone import find_torchvision_model, read_backbone
from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.checkpoints.lite0_weights import LITE0_ADDRESS, find_lite0_file
from lt_plugins.checkpoints.run_checkpoints import resolve_checkpoint
from lt_plugins.datasets.pipelines import find_test_pipeline
from lt_plugins.engine.features import Extract
from lt_plugins.errors import UserInputError
from lt_plugins.models.backbones import EfficientNetLite0
from lt_plugins.models.backbones.efficientnet_lite0 import LITE0_MEAN, LITE0_STD
from lt_plugins.runs.config import load_config

LITE0 = "lite0"
DEFAULT_SIZE = 224
IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_USUAL_MODEL = "resnet50"


class Preparation(NamedTuple):
    """What happens to an image before a network sees it: a crop of its middle, normalised.

    Args:
        edge (int): Length to which its shorter side is scaled.
        size (int): Height and width of the crop.
        mean (Sequence[float]): Mean of R, G and B, of values from 0 to 255.
        std (Sequence[float]): Their standard deviation.
        interpolation (str): How it is scaled. Defaults to ``"bicubic"``.
    """

    edge: int
    size: int
    mean: Sequence[float]
    std: Sequence[float]
    interpolation: str = "bicubic"


PUBLISHED = Preparation(260, 256, (0.0,) * 3, (255.0,) * 3, "bilinear")
"""That of the features behind ImageNet-GLT: a ResNet-50 of torchvision, without its normalisation."""


class Extractor(NamedTuple):
    """Feature extractor.

    Args:
        name (str): Network and weights.
        labels_seen (str): Which labels its training has seen: they are in what is made from its features.
        identity (str): Hash of weights, network and transforms; equal ones give equal features.
        pipeline (list[dict]): Transforms of an image, without augmentation.
        extract (Callable): From a batch, as mmengine collates it, to features ``(B, D)``.
    """

    name: str
    labels_seen: str
    identity: str
    pipeline: list[dict[str, Any]]
    extract: Extract


def build_extractor(
    source: Sequence[str],
    image_size: int = DEFAULT_SIZE,
    labels_seen: str | None = None,
    device: str = "cpu",
    allow_pickle: bool = False,
    published: bool = False,
) -> Extractor:
    """Build the extractor that ``--features`` names.

    Args:
        source (Sequence[str]): ``["lite0"]``; the path of a weights file with the tensors of a ResNet of torchvision,
            which mmpretrain's have as well; or a config and a checkpoint of it.
        image_size (int): Height and width of the images, but for a config, which has its own test transforms. Defaults
            to 224.
        labels_seen (str | None): Which labels the weights have seen. Defaults to what their file tells.
        device (str): Where the network goes. Defaults to ``"cpu"``.
        allow_pickle (bool): As for :func:`~lt_plugins.checkpoints.checkpoint.load_checkpoint`. Defaults to False.
        published (bool): Whether a weights file gets its images as for the features of ImageNet-GLT
            (:data:`PUBLISHED`). Defaults to False.

    Raises:
        UserInputError: If the source is none of these, or its weights are no such network's.
    """
    if len(source) == 2:
        found = _from_config(source[0], source[1], device, allow_pickle)
    elif len(source) != 1:
        raise UserInputError(f"--features {' '.join(source)}: give {LITE0}, a weights file, or CONFIG CHECKPOINT.")
    elif source[0] == LITE0:
        found = _lite0(image_size, device)
    else:
        usual = Preparation(image_size, image_size, IMAGENET_MEAN, IMAGENET_STD)
        found = _from_weights(source[0], PUBLISHED if published else usual, device, allow_pickle)
    return found if labels_seen is None else found._replace(labels_seen=labels_seen)


def _lite0(image_size: int, device: str) -> Extractor:
    model = EfficientNetLite0()
    weights = load_checkpoint(LITE0_ADDRESS)
    model.load_state_dict({key: value for key, value in weights.items() if not key.startswith("fc.")})
    network = nn.Sequential(_OnlyMap(model), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    seen = "ImageNet-1k (labels of 1,000 classes)"
    name = f"EfficientNet-Lite0, weights of {LITE0_ADDRESS}"
    digest = _hash_file(find_lite0_file())
    return _plain(name, seen, network, Preparation(image_size, image_size, LITE0_MEAN, LITE0_STD), device, digest)


def _from_weights(path: str, preparation: Preparation, device: str, allow_pickle: bool) -> Extractor:
    backbone = read_backbone(path, allow_pickle)
    try:
        name = find_torchvision_model(backbone.weights)
    except UserInputError as error:
        raise UserInputError(f"--features {path}: {_describe_misfit(backbone.weights)}.") from error
    network = get_model(name, weights=None)
    network.fc = nn.Identity()
    network.load_state_dict(backbone.weights, strict=False)  # all of them have been compared but the counters
    seen = "unknown: the file has no classifier"
    if backbone.left_out["fc"] or backbone.left_out["head"]:
        seen = "those of the classifier in the file (ImageNet-1k if the weights are torchvision's or mmpretrain's)"
    file = Path(resolve_checkpoint(path, allow_pickle))
    return _plain(f"{name}, weights of {file.name}", seen, network, preparation, device, _hash_file(file))


def _from_config(config: str, checkpoint: str, device: str, allow_pickle: bool) -> Extractor:
    cfg = load_config(config, needs=["test"])
    pipeline = find_test_pipeline(cfg)
    if pipeline is None:
        raise UserInputError(f"--features {config}: the config has no test or validation transforms; give another one.")
    trained = load_trained_model(cfg, checkpoint, device, allow_pickle)
    model = trained.model

    def extract(batch: dict[str, Any]) -> Tensor:
        feats = model.extract_feat(model.data_preprocessor(batch, training=False)["inputs"])
        if hasattr(model.head, "pre_logits"):
            return model.head.pre_logits(feats)
        return feats[-1].flatten(2).mean(dim=2) if feats[-1].ndim == 4 else feats[-1]

    classes = f"{len(trained.classes):,} classes" if trained.classes else "its classes"
    return Extractor(
        f"{config}, {trained.checkpoint.name}",
        f"those of its training set ({classes})",
        _identity(_hash_file(trained.checkpoint), cfg.model, pipeline),
        pipeline,
        extract,
    )


class _OnlyMap(nn.Module):
    """The last map of a backbone, by itself."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        return self.backbone(images)[-1]


def _plain(
    name: str,
    labels_seen: str,
    network: nn.Module,
    preparation: Preparation,
    device: str,
    weights_hash: str,
) -> Extractor:
    """An extractor of a network that takes normalised RGB images of one size and gives ``(B, D)``."""
    if preparation.size < 32:
        raise UserInputError(f"--image-size {preparation.size} must be at least 32 pixels.")
    network = network.to(device).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    preprocessor = ImgDataPreprocessor(mean=preparation.mean, std=preparation.std, bgr_to_rgb=True).to(device)
    pipeline: list[dict[str, Any]] = [
        {"type": "LoadImage"},
        {
            "type": "ResizeEdge",
            "scale": preparation.edge,
            "edge": "short",
            "interpolation": preparation.interpolation,
        },
        {"type": "CenterCrop", "crop_size": preparation.size},
        {"type": "PackInputs"},
    ]

    def extract(batch: dict[str, Any]) -> Tensor:
        images = preprocessor(batch)["inputs"]
        return network(images.contiguous(memory_format=torch.channels_last))

    return Extractor(
        name,
        labels_seen,
        _identity(weights_hash, (tuple(preparation.mean), tuple(preparation.std)), pipeline),
        pipeline,
        extract,
    )


def _describe_misfit(weights: dict[str, Tensor]) -> str:
    """What a file lacks of the network that one would expect."""
    with torch.device("meta"):
        wanted = get_model(_USUAL_MODEL, weights=None).state_dict()
    counters = ("num_batches_tracked", "fc.weight", "fc.bias")
    expected = {key: tuple(value.shape) for key, value in wanted.items() if not key.endswith(counters)}
    wrong = [key for key, shape in expected.items() if key not in weights or tuple(weights[key].shape) != shape]
    first = ", ".join(wrong[:3]) + (", ..." if len(wrong) > 3 else "")
    return (
        f"the file has {len(expected) - len(wrong)} of the {len(expected)} tensors of a ResNet-50 of torchvision or "
        f"mmpretrain (missing or of another shape: {first or 'none, but it has others'}), and is no other ResNet of "
        f"torchvision; give its config as well (--features CONFIG CHECKPOINT), or {LITE0}"
    )


def _identity(*parts: Any) -> str:
    return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()


def _hash_file(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def unit_features(features: Tensor) -> Tensor:
    """Normalise features to unit length, in float32.

    Args:
        features (Tensor): Shape ``(N, D)``.
    """
    return F.normalize(features.float(), dim=1)
