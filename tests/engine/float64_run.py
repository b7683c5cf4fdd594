"""Imported by a config, it makes the run compute in float64 and write down the losses of every rank."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.backbones import CIFARResNet
from tests.engine.cpu_sync_batch_norm import convert_sync_batch_norm

torch.set_default_dtype(torch.float64)


@HOOKS.register_module()
class Float64Hook(Hook):
    """Feeds the backbones float64 images, synchronises batch norms over processes and writes the losses of each rank.

    One line ``{"loss": ...}`` a step in ``losses_<rank>.json``: mmengine logs the losses of the first rank only.
    """

    def __init__(self, fail_on_rank: int | None = None) -> None:
        self.fail_on_rank = fail_on_rank

    def before_run(self, runner: Runner) -> None:
        if runner.world_size > 1:
            convert_sync_batch_norm(runner.model)
        for module in runner.model.modules():
            if isinstance(module, CIFARResNet):
                module.register_forward_pre_hook(self._to_double)

    @staticmethod
    def _to_double(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(value.double() for value in inputs)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        if runner.rank == self.fail_on_rank:
            raise UserInputError(f"rank {runner.rank} fails on purpose")
        losses = {name: float(value) for name, value in (outputs or {}).items() if "loss" in name}
        with Path(runner.work_dir, f"losses_{runner.rank}.json").open("a") as file:
            file.write(json.dumps(losses) + "\n")
