"""Memory format: lays the weights of convolutions out in the order that computes faster."""

from __future__ import annotations

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from lt_plugins.engine.runner_parts import averaged_models, optim_wrappers
from lt_plugins.models.memory_format import choose_memory_format, convert_convolutions, laid_out_like
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS


@HOOKS.register_module()
class MemoryFormatHook(Hook):
    """Memory-format hook: lays the weights of 2-d convolutions out in channels-last order.

    In this order the channels of a pixel stand side by side. A convolution whose weights are in it gives maps in it,
    so that the whole network follows, whatever the order of the images is. Names, shapes and values of the state are
    those of the usual, contiguous order; sums are taken in another order, so results agree up to rounding.

    The model, its key encoder, averaged copies (``EMAHook``), teachers and the state of the optimiser are converted
    after their values were drawn or loaded, before the first step, and a model also before validation and testing. A
    model in ``DistributedDataParallel`` keeps the order that this was built around: after a change it would mix up the
    gradients of the first step (torch 2.11). :class:`.QuietRunner` builds it around the right one.

    Args:
        channels_last (bool | None): Whether to convert; False is the contiguous order. Defaults to None: on a CPU
            (measured, ``docs/running.md``), and on CUDA with mixed precision, where the tensor cores compute in this
            order.

    Config::

        default_hooks = dict(memory_format=dict(type='MemoryFormatHook'))
    """

    # After a checkpoint was loaded, as all of before_train; before AveragedModelHook looks at the copies.
    priority = "HIGH"

    def __init__(self, channels_last: bool | None = None) -> None:
        self.channels_last = channels_last

    def choose(self, runner: Runner) -> torch.memory_format:
        """Choose the memory format of a run.

        Args:
            runner (Runner): The runner; its model is built.

        Returns:
            torch.memory_format: ``torch.channels_last`` or ``torch.contiguous_format``.
        """
        if is_model_wrapper(runner.model):
            return getattr(runner.model, "memory_format", torch.contiguous_format)
        device = next(runner.model.parameters()).device.type
        return choose_memory_format(self.channels_last, device, runner.cfg)

    def before_train(self, runner: Runner) -> None:
        """Convert the model, its averaged copies and teachers, and the state of a resumed optimiser.

        Args:
            runner (Runner): The runner of the training process.
        """
        model = unwrap_model(runner.model)
        for network in (model, *averaged_models(runner), *getattr(model, "teachers", ())):
            convert_convolutions(network, self.choose(runner))
        for wrapper in optim_wrappers(runner):
            for parameter, state in wrapper.optimizer.state.items():
                state.update({name: laid_out_like(parameter, value) for name, value in state.items()})

    def before_val(self, runner: Runner) -> None:
        """Convert a model that is validated or tested alone.

        Args:
            runner (Runner): The runner.
        """
        convert_convolutions(unwrap_model(runner.model), self.choose(runner))

    before_test = before_val
