"""Breaks a number in the middle of a training, for tests of what must notice it."""

from __future__ import annotations

import math
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS, OPTIM_WRAPPERS
from mmengine.runner import Runner

from lt_plugins.models.unwrap import unwrap_model


@HOOKS.register_module(force=True)
class PoisonHook(Hook):
    """Writes a value that is not finite at iterations of one process.

    Args:
        target: ``"loss"``, ``"lr"``, ``"momentum"`` (the optimiser's state), or the name of a tensor of the model.
        first: First iteration, from 0 over all epochs.
        last: Last iteration. Defaults to the first.
        rank: The process. Defaults to 0.
        value: What is written. Defaults to NaN.
    """

    priority = "LOWEST"

    def __init__(
        self, target: str, first: int, last: int | None = None, rank: int = 0, value: float = math.nan
    ) -> None:
        self.target, self.rank, self.value = target, rank, value
        self.iterations = range(first, (first if last is None else last) + 1)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Write."""
        if runner.rank != self.rank or runner.iter not in self.iterations:
            return
        model, optimiser = unwrap_model(runner.model), runner.optim_wrapper.optimizer
        if self.target == "loss":
            original = model.loss

            def loss(*args: Any) -> dict[str, Any]:
                del model.loss  # once
                return {name: term * self.value for name, term in original(*args).items()}

            model.loss = loss
        elif self.target == "lr":
            optimiser.param_groups[0]["lr"] = self.value
        elif self.target == "momentum":
            first_entry(optimiser.state[next(model.parameters())]["momentum_buffer"]).fill_(self.value)
        else:
            first_entry(model.state_dict(keep_vars=True)[self.target].detach()).fill_(self.value)


def first_entry(tensor: torch.Tensor) -> torch.Tensor:
    """The first entry of a tensor in any order in memory, as a view of it."""
    return tensor[(0,) * tensor.ndim]


@OPTIM_WRAPPERS.register_module(force=True)
class ScaledOptimWrapper(OptimWrapper):
    """Loss scaling as mmengine's ``AmpOptimWrapper`` does it, which asks for a CUDA device, on the CPU.

    Args:
        init_scale: First scale. Defaults to torch's.
        backoff_factor: By which a step that is skipped changes it. Defaults to torch's.
        **kwargs: As for ``OptimWrapper``.
    """

    def __init__(self, init_scale: float = 2.0**16, backoff_factor: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.loss_scaler = torch.amp.GradScaler("cpu", init_scale=init_scale, backoff_factor=backoff_factor)

    def backward(self, loss: torch.Tensor, **kwargs: Any) -> None:
        """Backward of the scaled loss."""
        self.loss_scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs: Any) -> None:
        """A step, unless a gradient is not finite."""
        self.loss_scaler.step(self.optimizer, **kwargs)
        self.loss_scaler.update()
