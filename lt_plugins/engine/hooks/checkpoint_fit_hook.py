"""Checkpoint fit: refuses checkpoints of another model, which mmengine would load in part."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from torch import Tensor

from lt_plugins.checkpoints.checkpoint import find_resume_problem
from lt_plugins.checkpoints.checkpoint_fit import Purpose, check_checkpoint_fit, is_frozen, optional_keys
from lt_plugins.checkpoints.normalisation import follow_normalisation
from lt_plugins.checkpoints.pretrained_weights import rename_weights
from lt_plugins.errors import UserInputError
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS


@HOOKS.register_module()
class CheckpointFitHook(Hook):
    """Checkpoint-fit hook: refuses a checkpoint to resume, test or initialise from that does not fit the model.

    mmengine loads what fits and warns about the rest, so a test of the wrong checkpoint reports chance accuracy, and a
    resume starts from random weights. A model that names ``initialised_parts``, such as
    :class:`.FrozenBackboneClassifier`, is initialised by those parts of a checkpoint only.

    Args:
        min_backbone_fraction (float): How many of the backbone's tensors ``load_from`` must fill; the rest stays
            random. A frozen backbone and ``initialised_parts`` always need all. Defaults to 1.0.

    Config::

        default_hooks = dict(checkpoint_fit=dict(type='CheckpointFitHook'))

    Raises:
        UserInputError: If it does not fit, a checkpoint to resume lacks the state of the optimiser, or a frozen
            backbone gets none.
    """

    # The first to see the checkpoint: an EMAHook exchanges weights in it.
    priority = "VERY_HIGH"

    def __init__(self, min_backbone_fraction: float = 1.0) -> None:
        self.min_backbone_fraction = min_backbone_fraction
        self._has_loaded = False

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare the checkpoint with the model, before its weights are taken over.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): The loaded checkpoint.
        """
        self._has_loaded = True
        source = str(runner._load_from or "the checkpoint")
        purpose: Purpose = "test"
        if runner._resume:
            purpose = "resume"
            if missing := find_resume_problem(checkpoint):
                raise UserInputError(
                    f"{source} holds no {missing}, so a run cannot go on from it; resume an epoch_*.pth, "
                    "or start a new run from its weights with --cfg-options load_from=PATH."
                )
        elif isinstance(runner._train_loop, BaseLoop) and not _needs_trained_model(runner):  # it is built, to train
            purpose = "initialise"
        model = unwrap_model(runner.model)
        state_dict = checkpoint.get("state_dict", checkpoint)
        plain = {k.removeprefix("module."): v for k, v in state_dict.items() if isinstance(v, Tensor)}
        if purpose == "initialise" and (named := rename_weights(model, plain)).keys() != plain.keys():
            for key in [key for key, value in state_dict.items() if isinstance(value, Tensor)]:
                del state_dict[key]
            state_dict.update(named)
            plain = named
        check_checkpoint_fit(model, plain, source, purpose, self.min_backbone_fraction)
        if purpose == "test":
            follow_normalisation(model, checkpoint)
        if purpose == "initialise":
            parts = getattr(model, "initialised_parts", ("",))
            # A classifier that was adjusted after training is not to be trained on.
            adjusted = optional_keys(model, {key.removeprefix("module."): None for key in state_dict})
            for key in [*state_dict]:
                name = key.removeprefix("module.")
                if not name.startswith(parts) or name in adjusted:
                    del state_dict[key]

    def before_train(self, runner: Runner) -> None:
        """Refuse to train a head on random features.

        Args:
            runner (Runner): The runner of the training process.
        """
        model = unwrap_model(runner.model)
        if not self._has_loaded and _needs_trained_model(runner):
            raise UserInputError(
                f"{type(runner.train_loop).__name__} trains nothing, and nothing initialises the model: let it be "
                "stage2 of the config that trains it, or give a checkpoint with --cfg-options load_from=PATH."
            )
        if self._has_loaded or not is_frozen(model):
            return
        # A pretrained backbone brings no classifier.
        sources = [model] if getattr(model, "reuse_head", False) else [model, model.backbone]
        init_cfgs = [getattr(part, "init_cfg", None) or [] for part in sources]
        flat = [cfg for cfgs in init_cfgs for cfg in (cfgs if isinstance(cfgs, list) else [cfgs])]
        if not any(cfg["type"] == "Pretrained" for cfg in flat):
            what = "it" if len(sources) > 1 else "it together with the head that goes on from stage 1"
            raise UserInputError(
                f"{type(model).__name__} freezes its backbone, but nothing initialises {what}: let it be "
                "stage2 of the config that trains it, or give a checkpoint with --cfg-options load_from=PATH."
            )


def _needs_trained_model(runner: Runner) -> bool:
    """Whether the loop of a training trains nothing, and takes the model as it is."""
    return getattr(runner._train_loop, "needs_trained_model", False)
