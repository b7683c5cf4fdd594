"""Launching: prepares a config for several processes, or for one without GPU."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from lt_plugins.errors import UserInputError

if TYPE_CHECKING:
    from mmengine.config import Config


def add_launcher_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--launcher``.

    Args:
        parser (ArgumentParser): Extended in place.
    """
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm"],
        default="none",
        help="who started the processes: torchrun (pytorch) or srun (slurm)",
    )


def launch_rank(launcher: str) -> int:
    """Rank of this process among those of the launcher, also before they are connected.

    Args:
        launcher (str): ``none``, ``pytorch`` (torchrun) or ``slurm``.
    """
    variable = {"pytorch": "RANK", "slurm": "SLURM_PROCID"}.get(launcher, "")
    return int(os.environ.get(variable, 0))


def launch_size(launcher: str) -> int:
    """Number of processes that the launcher started.

    Args:
        launcher (str): ``none``, ``pytorch`` (torchrun) or ``slurm``.
    """
    variable = {"pytorch": "WORLD_SIZE", "slurm": "SLURM_NTASKS"}.get(launcher, "")
    return int(os.environ.get(variable, 1))


def prepare_launch(cfg: Config, launcher: str) -> None:
    """Set the keys of a config that depend on launcher and devices of this machine.

    Without a GPU mmengine cannot start the process group by itself (it selects a CUDA device first), so it is started
    here with gloo.

    Args:
        cfg (Config): Changed in place.
        launcher (str): ``none``, ``pytorch`` (torchrun) or ``slurm``.

    Raises:
        UserInputError: If mixed precision, synchronised batch norm or a launcher needs GPUs that are not there.
    """
    import torch
    import torch.distributed as dist

    cfg.launcher = launcher
    has_cuda = torch.cuda.is_available()
    if not has_cuda and cfg.get("optim_wrapper", {}).get("type") == "AmpOptimWrapper":
        raise UserInputError("mixed precision (--amp, AmpOptimWrapper) needs a CUDA device, and none is here; drop it.")
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        if cfg.get(loader):
            cfg[loader].setdefault("pin_memory", has_cuda)
    if launcher == "none":
        return
    if has_cuda:
        local_rank = int(os.environ.get("LOCAL_RANK", 0))
        if local_rank >= torch.cuda.device_count():
            raise UserInputError(
                f"{local_rank + 1} or more processes were started, but this machine has {torch.cuda.device_count()} "
                "GPUs; start as many processes as there are GPUs."
            )
        return
    if launcher != "pytorch":
        raise UserInputError(f"--launcher {launcher} needs GPUs; without them use tools/dist_train.sh (torchrun).")
    if cfg.get("sync_bn"):
        raise UserInputError(
            f"sync_bn={cfg.sync_bn!r} (batch norm over all processes) needs GPUs, and none is here; "
            "use one process, or set --cfg-options sync_bn=None."
        )
    cfg.setdefault("env_cfg", {}).setdefault("dist_cfg", {})["backend"] = "gloo"
    wrapper = cfg.get("model_wrapper_cfg") or {"type": "MMDistributedDataParallel", "broadcast_buffers": False}
    wrapper.setdefault("find_unused_parameters", cfg.get("find_unused_parameters", False))
    wrapper["device_ids"] = None
    cfg.model_wrapper_cfg = wrapper
    if not dist.is_initialized():
        dist.init_process_group("gloo")
