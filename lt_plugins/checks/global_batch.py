"""The number of images in an optimiser step that the learning rate of a recipe is meant for."""

from __future__ import annotations

from mmengine.config import Config

from lt_plugins.errors import UserInputError


def check_global_batch(cfg: Config, world_size: int) -> None:
    """Refuse to train a recipe with another global batch, unless it says what happens to the learning rate.

    A recipe states ``num_processes`` and ``auto_scale_lr.base_batch_size``, the images of one optimiser step over all
    processes, without those of companions. ``auto_scale_lr.enable`` says what to do with another number: True scales
    the learning rate with it, False keeps it. A config that states neither number is left alone.

    Args:
        cfg (Config): Config of one training run.
        world_size (int): Number of processes.

    Raises:
        UserInputError: If batch x processes x ``accumulative_counts`` is not the recipe's.
    """
    processes, scaling = cfg.get("num_processes"), cfg.get("auto_scale_lr") or {}
    expected, batch_size = scaling.get("base_batch_size"), (cfg.get("train_dataloader") or {}).get("batch_size")
    if not processes or not expected or batch_size is None or scaling.get("enable") is not None:
        return
    accumulated = accumulative_counts(cfg)
    if batch_size * world_size * accumulated == expected:
        return
    factors = f"{batch_size} (train_dataloader.batch_size) x {world_size} (processes)"
    if accumulated > 1:
        factors += f" x {accumulated} (accumulative_counts)"
    raise UserInputError(
        f"{factors} = {batch_size * world_size * accumulated} images a step, but the learning rate of {cfg.filename} "
        f"is meant for {expected}, {processes} x {expected // processes}: start {processes} "
        f"process{'es (tools/dist_train.sh CONFIG ' + str(processes) + ')' if processes > 1 else ''} with "
        f"{expected // processes} images each, or scale the learning rate by --auto-scale-lr, or keep it by --keep-lr "
        "(in a config auto_scale_lr.enable=True or False)."
    )


def accumulative_counts(cfg: Config) -> int:
    """Batches whose gradients are added before the optimiser moves the weights.

    Args:
        cfg (Config): Config of one training run.
    """
    return (cfg.get("optim_wrapper") or {}).get("accumulative_counts", 1)
