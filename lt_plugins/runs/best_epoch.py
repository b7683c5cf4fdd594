"""The best epoch of a training by its validation: which metric says so, keeping its checkpoint, stopping early."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.config import Config

from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.shot_thresholds import find_shot_metric

HOOKS = "default_hooks"


def choose_by(cfg: Config) -> str | None:
    """Metric that the best epoch is chosen by: mean class accuracy, for which each class counts as much as any other.

    Args:
        cfg (Config): The config of a stage.

    Returns:
        str | None: Its name, as in ``save_best``; None if the stage counts iterations, or is not evaluated by
        ``ShotAccuracy`` while it trains.
    """
    metric = find_shot_metric(cfg.get("val_evaluator")) if cfg.get("val_dataloader") else None
    loop = str(cfg.train_cfg.get("type", "EpochBasedTrainLoop")).rpartition(".")[2]
    if metric is None or loop != "EpochBasedTrainLoop" or not cfg.train_cfg.get("by_epoch", True):
        return None
    return f"{metric.get('prefix') or 'shot'}/balanced"


def keep_best_epoch(cfg: Config) -> None:
    """Keep the checkpoint of the best epoch beside the last ones, unless the config says which are kept.

    Args:
        cfg (Config): The config of a stage; changed in place.
    """
    name = choose_by(cfg)
    hook = cfg.get(HOOKS, {}).get("checkpoint")
    if name is not None and hook is not None and "save_best" not in hook:
        hook.update(save_best=name, rule="greater")


def stop_early(configs: Sequence[Config], patience: int) -> None:
    """Stop each stage that is evaluated early.

    Args:
        configs (Sequence[Config]): The configs of all stages; changed in place.
        patience (int): Evaluations in a row without a better mean class accuracy that end a stage.

    Raises:
        UserInputError: If no stage is evaluated.
    """
    monitored = [(cfg, name) for cfg in configs if (name := choose_by(cfg)) is not None]
    if not monitored:
        raise UserInputError(
            f"--early-stop {patience} needs a validation by ShotAccuracy while it trains, and {configs[-1].filename} "
            "has none; leave out --no-validate, or --early-stop."
        )
    for cfg, name in monitored:
        hook = {"type": "EarlyStopHook", "monitor": name, "patience": patience}
        cfg.setdefault(HOOKS, {})["early_stop"] = hook
