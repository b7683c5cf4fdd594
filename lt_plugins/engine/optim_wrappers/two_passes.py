"""Two forward passes of a training step over the same batch, of which only the first leaves traces in the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parallel import DistributedDataParallel

from lt_plugins.errors import UserInputError
from lt_plugins.models.accumulation import step_followers
from lt_plugins.models.unwrap import unwrap_model


class TwoPasses:
    """The forward pass of a training step, and its repetition at other weights.

    The batch is kept as the model got it, after the data preprocessor, so that mixed images have the same partners and
    shares again. Both passes draw the same random numbers (dropout, noise) of torch's generators. State that a forward
    pass moves does so in the first alone: a module that has any is a
    :class:`~lt_plugins.models.structures.FollowsSteps` and reads ``repeats_batch``.

    Args:
        model (nn.Module): The model that mmengine trains, with its distributed wrapper if it has one.
        updates_batch_norm (bool): Whether the second pass enters the running statistics of batch norms, too.
    """

    def __init__(self, model: nn.Module, updates_batch_norm: bool) -> None:
        self._model = model
        self._followers = step_followers(unwrap_model(model))
        self._statistics: list[Tensor] = []
        if not updates_batch_norm:
            norms = [module for module in model.modules() if isinstance(module, _NormBase)]
            self._statistics = [buffer for norm in norms for buffer in norm.buffers(recurse=False)]
        self._arguments: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        self._random_state: list[Tensor] = []
        self._devices = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})

    @contextmanager
    def first(self) -> Iterator[None]:
        """Context of the first pass; processes do not share the gradients of what is computed in it."""
        self._place_pass(starts=True, ends=False, repeats=False)
        handle = self._model.register_forward_pre_hook(self._note, with_kwargs=True)
        try:
            with self._model.no_sync() if isinstance(self._model, DistributedDataParallel) else nullcontext():
                yield
        finally:
            handle.remove()

    @contextmanager
    def second(self) -> Iterator[Tensor]:
        """Context of the second pass, with its loss, and of the backward pass of this loss.

        Raises:
            UserInputError: If there was no first pass.
        """
        if self._arguments is None:
            raise UserInputError(
                "a step of two forward passes needs its batch; call the model itself inside of "
                "optim_wrapper.optim_context(model), as train_step does."
            )
        args, kwargs = self._arguments
        kept = [buffer.clone() for buffer in self._statistics]
        self._place_pass(starts=False, ends=True, repeats=True)
        try:
            with torch.random.fork_rng(self._devices):
                self._set_random_state()
                losses = self._model(*args, **kwargs)
            yield unwrap_model(self._model).parse_losses(losses)[0]
        finally:
            self._place_pass(starts=True, ends=True, repeats=False)
            if kept:  # after the backward pass, which may read them
                torch._foreach_copy_(self._statistics, kept)

    def _note(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._arguments = args, kwargs
        self._random_state = [torch.get_rng_state(), *map(torch.cuda.get_rng_state, self._devices)]

    def _set_random_state(self) -> None:
        torch.set_rng_state(self._random_state[0])
        for device, state in zip(self._devices, self._random_state[1:], strict=True):
            torch.cuda.set_rng_state(state, device)

    def _place_pass(self, starts: bool, ends: bool, repeats: bool) -> None:
        for module in self._followers:
            module.starts_step, module.ends_step, module.repeats_batch = starts, ends, repeats
