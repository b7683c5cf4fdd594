"""A checkpoint of another model is refused instead of silently ignored."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from mmpretrain.registry import HOOKS

from lt_plugins.engine.checkpoint_fit import Purpose, check_checkpoint_fit
from lt_plugins.engine.unwrap import unwrap_model
from lt_plugins.errors import UserInputError


@HOOKS.register_module()
class CheckpointFitHook(Hook):
    """Stop if the checkpoint to resume, test or initialise from does not fit the model.

    mmengine loads what fits and warns about the rest, so a test of the wrong checkpoint reports chance accuracy, and a
    resume starts from random weights.

    Config::

        custom_hooks = [dict(type='CheckpointFitHook')]

    Raises:
        UserInputError: If it does not fit, or a checkpoint to resume lacks the state of the optimiser.
    """

    # The first to see the checkpoint: an EMAHook exchanges weights in it.
    priority = "VERY_HIGH"

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare the checkpoint with the model, before its weights are taken over.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): The loaded checkpoint.
        """
        source = str(runner._load_from or "the checkpoint")
        purpose: Purpose = "test"
        if runner._resume:
            purpose = "resume"
            missing = [key for key in ("meta", "message_hub", "optimizer") if key not in checkpoint]
            if missing:
                raise UserInputError(
                    f"{source} holds no {', '.join(missing)}, so a run cannot go on from it; resume an epoch_*.pth, "
                    "or start a new run from its weights with --cfg-options load_from=PATH."
                )
        elif isinstance(runner._train_loop, BaseLoop):  # built: this is a training run
            purpose = "initialise"
        state_dict = checkpoint.get("state_dict", checkpoint)
        check_checkpoint_fit(
            unwrap_model(runner.model),
            {key.removeprefix("module."): value for key, value in state_dict.items()},
            source,
            purpose,
        )
