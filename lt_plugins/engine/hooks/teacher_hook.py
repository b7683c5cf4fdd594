"""Teachers: builds the frozen networks that a model learns from, and fills them before training."""

from __future__ import annotations

import copy
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from mmengine.runner.checkpoint import CheckpointLoader
from mmpretrain.registry import MODELS
from torch import nn

from lt_plugins.checkpoints.checkpoint_fit import check_checkpoint_fit
from lt_plugins.checks.preflight import Allowed
from lt_plugins.datasets.class_names import check_same_classes, checkpoint_classes, leaf_classes
from lt_plugins.errors import UserInputError
from lt_plugins.models.classifiers import TaughtClassifier
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS


@HOOKS.register_module()
class TeacherHook(Hook):
    """Teacher hook: fills the teachers of a :class:`.TaughtClassifier` before it is trained; else does nothing.

    It is one of the ``default_hooks`` of the configs.

    Config::

        default_hooks = dict(teachers=dict(type='TeacherHook'))

    Raises:
        UserInputError: If a teacher has no checkpoint, or one of another network, of other classes or other pixels.
    """

    # Before RunRecordHook compares, as a checkpoint is loaded, the fingerprints of the teachers.
    def before_run(self, runner: Runner) -> None:
        """Build the teachers of a model that is to be trained.

        Args:
            runner (Runner): The runner.
        """
        model = unwrap_model(runner.model)
        if not isinstance(model, TaughtClassifier) or not isinstance(runner._train_loop, BaseLoop):
            return
        if not model.teacher_cfgs:
            raise UserInputError(
                f"{type(model).__name__} learns from teachers, and model.teachers is empty; name an earlier stage, "
                "like [dict(stage=1)], or another run, like [dict(config='CONFIG.py', checkpoint='WORK_DIR')]."
            )
        allowed = Allowed.by_config(runner.cfg)
        names = leaf_classes("the train dataset", runner.train_dataloader.dataset)
        teachers = []
        for number, cfg in enumerate(model.teacher_cfgs):
            place = f"model.teachers.{number}"
            teacher, classes = _load(cfg, place)
            if not allowed.renamed_classes:
                check_same_classes({f"{place}, {cfg['checkpoint']},": classes, **names})
            teachers.append(teacher)
        model.set_teachers([teacher.to(next(model.parameters()).device) for teacher in teachers])


def _load(cfg: dict[str, Any], place: str) -> tuple[nn.Module, Any]:
    """Build a teacher and load its weights; also the names of its classes, None if the checkpoint does not say."""
    source = cfg.get("checkpoint")
    if not source or "model" not in cfg:
        raise UserInputError(
            f"{place} has no {'checkpoint' if 'model' in cfg else 'model'}; tools/train.py finds those of an earlier "
            "stage and of dict(config=..., checkpoint=...), any other program needs dict(model=..., checkpoint=...)."
        )
    teacher: nn.Module = MODELS.build(copy.deepcopy(cfg["model"]))
    checkpoint = CheckpointLoader.load_checkpoint(str(source), "cpu", logger="silent")
    weights = checkpoint.get("state_dict", checkpoint)
    state_dict = {key.removeprefix("module."): value for key, value in weights.items()}
    check_checkpoint_fit(teacher, state_dict, f"{place}: {source}", "test")
    teacher.load_state_dict(state_dict, strict=False)
    return teacher, checkpoint_classes(checkpoint)
