"""Checkpoints of all kinds of classifiers on digits, with random weights, and image files of digits."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from PIL import Image
from torch import nn

from lt_plugins.datasets.digits_dataset import DigitsDataset
from lt_plugins.models.build import build_model
from lt_plugins.models.structures import ClassDistribution
from tests.configs.catalogue import stages_of

DIGITS = tuple(str(digit) for digit in range(10))

KINDS = (
    *("balanced_softmax/balanced-softmax", "balms/balms", "balpoe/balpoe", "bbn/bbn", "bcl/bcl", "byol/byol"),
    *("center_loss/center-loss", "cosine/cosine", "fslwf/fslwf", "gcl/gcl", "glmc/glmc", "h2t/h2t", "ifl/ifl-ldam"),
    *("ifl/ifl-ride", "isda/isda", "lcreg/lcreg", "lff/lff", "lfme/lfme", "lpa/lpa", "lws/lws", "m2m/m2m"),
    *("metasaug/metasaug", "oltr/oltr", "paco/paco", "ride/ride-distill", "ride/ride-router", "shike/shike", "ssd/ssd"),
    *("tde/tde", "weight_balancing/weight-balancing"),
)
"""A config on digits for each combination of classifier, backbone, neck and head that a last stage has."""


def small_config(name: str, stage: int = 0, **overrides: Any) -> Config:
    """A stage of a config, by default the last one, with a network of twenty layers."""
    cfg = copy.deepcopy(stages_of(f"{name}_r32_digits.py")[stage - 1])
    cfg.merge_from_dict({"model.backbone.depth": 20, **overrides})
    return cfg


def write_checkpoint(cfg: Config, path: Path, classes: Sequence[str] | None = DIGITS) -> nn.Module:
    """Write a checkpoint of random weights with running statistics and class counts, and give its model."""
    torch.manual_seed(0)
    model: Any = build_model(cfg)
    model.class_distribution = ClassDistribution(cfg.model.head.num_classes)
    for module in model.modules():
        if isinstance(module, ClassDistribution):
            module.set_counts(torch.arange(1, cfg.model.head.num_classes + 1))
    for name, value in model.named_buffers():
        if name.endswith("running_mean") or name == "head.feature_mean":
            value.normal_(0, 0.1)
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = {"epoch": 1, "iter": 1} | ({} if classes is None else {"dataset_meta": {"classes": tuple(classes)}})
    torch.save({"state_dict": model.state_dict(), "meta": meta}, path)
    return model.eval()


def write_digits(folder: Path, count: int = 6, dataset: Any = None) -> list[str]:
    """Write the first images of a dataset, by default that of the tests, as PNG files."""
    dataset = dataset or DigitsDataset("test", pipeline=[])
    folder.mkdir(parents=True, exist_ok=True)
    paths = [str(folder / f"{number:03d}.png") for number in range(count)]
    for number, path in enumerate(paths):
        Image.fromarray(dataset.get_data_info(number)["img"]).save(path)
    return paths
