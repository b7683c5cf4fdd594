"""Models built from a config, outside of a runner."""

from __future__ import annotations

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from torch import nn


def build_model(cfg: Config) -> nn.Module:
    """Build the model of a config as mmengine's runner does, with random weights.

    Args:
        cfg (Config): The config.
    """
    init_default_scope(cfg.get("default_scope", "mmpretrain"))
    model = dict(cfg.model)
    if cfg.get("data_preprocessor") is not None:
        model.setdefault("data_preprocessor", cfg.data_preprocessor)
    return MODELS.build(model)
