"""Experiment trackers: ``--tensorboard`` and ``--wandb``, and whether the packages of a config's trackers are there."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lt_plugins.errors import UserInputError

if TYPE_CHECKING:
    from mmengine.config import Config


class Tracker(NamedTuple):
    """Tracker: what one of mmengine's vis backends needs.

    Args:
        module (str): The module that it imports.
        requirement (str): What pip installs.
    """

    module: str
    requirement: str


TRACKERS = {
    "AimVisBackend": Tracker("aim", "aim"),
    "ClearMLVisBackend": Tracker("clearml", "clearml"),
    "DVCLiveVisBackend": Tracker("dvclive", "dvclive"),
    "MLflowVisBackend": Tracker("mlflow", "mlflow"),
    "NeptuneVisBackend": Tracker("neptune", "neptune"),
    "TensorboardVisBackend": Tracker("tensorboard", "tensorboard"),
    "WandbVisBackend": Tracker("wandb", "wandb"),
}
OPTIONS = {"tensorboard": "TensorboardVisBackend", "wandb": "WandbVisBackend"}
WANDB_PROJECT = "lt_plugins"


def add_tracker_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--tensorboard`` and ``--wandb``.

    Args:
        parser (ArgumentParser): Extended in place.
    """
    parser.add_argument(
        "--tensorboard", action="store_true", help="log to TensorBoard too: tensorboard --logdir <work dir>"
    )
    parser.add_argument(
        "--wandb",
        action="store_true",
        help=f"log to Weights & Biases too, project {WANDB_PROJECT!r} (WANDB_PROJECT names another, "
        "WANDB_MODE=offline sends nothing)",
    )


def tracker_options(args: argparse.Namespace) -> list[str]:
    """Options of ``tools/train.py`` that ask for the same trackers.

    Args:
        args (Namespace): A command line with the options of :func:`add_tracker_arguments`.
    """
    return [f"--{option}" for option in OPTIONS if getattr(args, option)]


def use_trackers(cfg: Config, args: argparse.Namespace) -> None:
    """Add the trackers of the command line to a config, and check that all that it has can be imported.

    Args:
        cfg (Config): The config of a stage, with its ``work_dir``; changed in place.
        args (Namespace): A command line with the options of :func:`add_tracker_arguments`.

    Raises:
        UserInputError: If the package of a tracker is not installed.
    """
    visualizer = cfg.get("visualizer") or {"type": "UniversalVisualizer", "vis_backends": [{"type": "LocalVisBackend"}]}
    backends = [*(visualizer.get("vis_backends") or ())]
    for option, kind in OPTIONS.items():
        if getattr(args, option) and kind not in map(_kind, backends):
            settings: dict[str, Any] = {"type": kind}
            if option == "wandb":
                project, name = os.environ.get("WANDB_PROJECT", WANDB_PROJECT), "/".join(Path(cfg.work_dir).parts[-2:])
                settings["init_kwargs"] = {"project": project, "name": name, "dir": cfg.work_dir}
            backends.append(settings)
    if backends:
        cfg.visualizer = {**visualizer, "vis_backends": backends}
    for kind in map(_kind, backends):
        if kind in TRACKERS and find_spec(TRACKERS[kind].module) is None:
            asked = next((f"--{option}" for option, other in OPTIONS.items() if other == kind), kind)
            raise UserInputError(
                f"{asked} needs the package {TRACKERS[kind].module}, which is not installed: pip install "
                f"{TRACKERS[kind].requirement}, or drop {kind if asked == kind else asked}."
            )


def _kind(backend: Mapping[str, Any]) -> str:
    """Type of a vis backend without its scope."""
    return str(backend.get("type")).rpartition(".")[2]
