"""Teachers of a config: which networks a model learns from, and where their weights are."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mmengine.config import Config, ConfigDict

from lt_plugins.errors import UserInputError

KINDS = ({"stage"}, {"stage", "model"}, {"config", "checkpoint"}, {"model", "checkpoint"})
EXAMPLE = "dict(stage=1), or dict(config='CONFIG.py', checkpoint='WORK_DIR')"


def list_teachers(cfg: Config) -> Iterator[tuple[str, dict[str, Any]]]:
    """List the teachers of a config.

    Args:
        cfg (Config): The config of a stage.

    Yields:
        tuple[str, dict]: Dotted key and config of each.

    Raises:
        UserInputError: If they are no list of dicts with the keys that a teacher has.
    """
    model = cfg.get("model")
    teachers = model.get("teachers") if isinstance(model, dict) else None
    if teachers is None:
        return
    if not isinstance(teachers, (list, tuple)):
        raise UserInputError(f"model.teachers={teachers!r:.100} must be a list, like [{EXAMPLE}].")
    for number, teacher in enumerate(teachers):
        keys = {*teacher} if isinstance(teacher, dict) else set()
        if keys not in KINDS:
            raise UserInputError(f"model.teachers.{number}={teacher!r:.100} must be {EXAMPLE}.")
        yield f"model.teachers.{number}", teacher


def describe_teachers(configs: Sequence[Config], load: Callable[[str], Config]) -> None:
    """Add its network to each teacher, so that the config of a stage says all by itself.

    Args:
        configs (Sequence[Config]): The configs of all stages, in order; changed in place.
        load (Callable): Reads the config of another run, ``CONFIG.py[:VARIANT]``.

    Raises:
        UserInputError: If a teacher is a stage that does not come before, or is described in another way.
    """
    for index, cfg in enumerate(configs):
        for key, teacher in list_teachers(cfg):
            if "model" in teacher:
                continue
            stage = teacher.get("stage")
            if "config" in teacher:
                source = load(str(teacher.pop("config")))
            elif isinstance(stage, int) and 1 <= stage <= index:
                source = configs[stage - 1]
            else:
                earlier = f"must be an earlier one, 1 to {index}" if index else "is not there: this is the first one"
                raise UserInputError(f"{key}.stage={stage!r:.100} of stage {index + 1} {earlier}.")
            teacher["model"] = _network(source)


def _network(cfg: Config) -> ConfigDict:
    """The model of a config, with its data preprocessor and without teachers of its own."""
    model = copy.deepcopy(cfg.model)
    if cfg.get("data_preprocessor") is not None:
        model.setdefault("data_preprocessor", copy.deepcopy(cfg.data_preprocessor))
    if "teachers" in model:
        model.teachers = []
    return model
