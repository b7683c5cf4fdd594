"""What the tools share that look into a trained model: arguments, classes by name, the page they write."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import mmcv
import torch
from mmengine.config import Config
from torch import Tensor

from lt_plugins.analysis.trained_model import TrainedModel
from lt_plugins.datasets.labels import get_class_names
from lt_plugins.datasets.leaf_table import build_leaf_table
from lt_plugins.errors import UserInputError
from lt_plugins.runs.cli import add_config_arguments, add_pickle_argument, add_stage_argument
from lt_plugins.runs.config import load_stages, stage_index
from lt_plugins.runs.spec import stage_source
from lt_plugins.visualization import FigurePage


def add_analysis_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Add ``config``, ``checkpoint``, ``--out``, ``--device`` and what every tool has.

    Args:
        parser (ArgumentParser): Extended in place.
        name (str): What the folder of the page is called after.
    """
    add_config_arguments(parser)
    parser.add_argument(
        "checkpoint", help="checkpoint file, or work dir of a run (its last checkpoint; it may be going on)"
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        metavar="DIR",
        help=f"folder of the page and its pictures (default: {name}_<checkpoint> beside the checkpoint)",
    )
    add_stage_argument(parser, f"stage of the run to look at (default: the last one that learns {name})")
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default=default, help="where the model runs (default here: %(default)s)"
    )
    add_pickle_argument(parser)


def choose_stage(args: argparse.Namespace, learns: Callable[[Config], bool]) -> Config:
    """Read the config of the stage that a tool looks at, and let the checkpoint be one of its own.

    Args:
        args (Namespace): The command line; of a work dir with stages ``checkpoint`` becomes the folder of the stage.
        learns (Callable[[Config], bool]): Whether the model of a config is one to look at.

    Returns:
        Config: That of ``--stage``; else of the last stage with such a model; else of the last one.

    Raises:
        UserInputError: If the config cannot be read, or has no such stage.
    """
    stages = load_stages(args.config, args.cfg_options, data=args.data)
    if args.stage is not None:
        index = stage_index(args.stage, len(stages), args.config)
    else:
        index = max((index for index, cfg in enumerate(stages) if learns(cfg)), default=len(stages) - 1)
    args.checkpoint = stage_source(args.checkpoint, index + 1)
    return stages[index]


def has_head(cfg: Config, head: str) -> bool:
    """Whether the model of a config has a head of this type.

    Args:
        cfg (Config): The config.
        head (str): Name of the type.
    """
    return (cfg.get("model") or {}).get("head", {}).get("type") == head


def add_query_arguments(parser: argparse.ArgumentParser, top: int) -> None:
    """Add what is asked about (``--images``, ``--classes``), and where and how much is searched for.

    Args:
        parser (ArgumentParser): Extended in place.
        top (int): Default of ``--top``.
    """
    parser.add_argument("--images", nargs="+", type=Path, default=[], metavar="PATH", help="query images, of any size")
    parser.add_argument("--classes", nargs="+", default=[], metavar="CLASS", help="query classes, by name or number")
    parser.add_argument("--split", choices=["train", "test"], default="train", help="where to search (default: train)")
    parser.add_argument("--top", type=int, default=top, metavar="N", help="found images a row (default: %(default)s)")
    parser.add_argument("--max-per-class", type=int, default=2, metavar="N", help="of one class at most (default: 2)")


def check_query_arguments(args: argparse.Namespace) -> None:
    """Refuse what :func:`add_query_arguments` cannot: numbers of images that are not positive.

    Args:
        args (Namespace): The command line.

    Raises:
        UserInputError: If one is not positive.
    """
    if min(args.top, args.max_per_class) < 1:
        raise UserInputError(f"--top {args.top} and --max-per-class {args.max_per_class} must be 1 or more.")


def check_numbers(option: str, numbers: Sequence[int], size: int) -> None:
    """Refuse numbers of attributes or latent categories that the model does not have.

    Args:
        option (str): The option that took them.
        numbers (Sequence[int]): What it took.
        size (int): How many the model has.

    Raises:
        UserInputError: If one is out of range.
    """
    if bad := [number for number in numbers if not 0 <= number < size]:
        raise UserInputError(f"{option} {bad[0]} is out of range; the model has 0 to {size - 1}.")


def require_head(cfg: Config, head: str, missing: str, folder: str) -> None:
    """Refuse a config with another head, before anything is built.

    Args:
        cfg (Config): The config.
        head (str): Name of the head that is needed.
        missing (str): What other heads do not learn.
        folder (str): Where configs with the head are.

    Raises:
        UserInputError: If it has another head.
    """
    found = cfg.get("model", {}).get("head", {}).get("type")
    if found != head:
        raise UserInputError(
            f"the config's model.head is {found}, which learns no {missing}; use one with {head} ({folder})."
        )


def check_device(device: str) -> None:
    """Refuse a device that is not here.

    Args:
        device (str): ``"cpu"`` or ``"cuda"``.

    Raises:
        UserInputError: If it is CUDA, without a CUDA device.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserInputError("--device cuda needs a CUDA device, and none is here; use --device cpu.")


def open_page(
    title: str, name: str, trained: TrainedModel, out_dir: Path | None, inputs: Sequence[Path] = ()
) -> FigurePage:
    """Begin a page about a trained model.

    Args:
        title (str): Title of the page.
        name (str): What the default folder is called after.
        trained (TrainedModel): The model.
        out_dir (Path | None): The folder; by default ``<name>_<checkpoint>`` beside the checkpoint.
        inputs (Sequence[Path]): Pictures that are shown, which those of the page must not replace. Defaults to none.

    Raises:
        UserInputError: If the folder cannot be made.
    """
    return FigurePage(title, out_dir or trained.checkpoint.with_name(f"{name}_{trained.checkpoint.stem}"), inputs)


def describe_origin(trained: TrainedModel) -> str:
    """Which checkpoint was read, and when, as the beginning of a sentence.

    Args:
        trained (TrainedModel): The model.
    """
    epoch = "" if trained.epoch is None else f", after epoch {trained.epoch}"
    return f"{trained.checkpoint}{epoch}, read on {time.strftime('%Y-%m-%d %H:%M')}"


def not_clustered_error(cfg: Config, trained: TrainedModel, missing: str) -> UserInputError:
    """The error for a checkpoint from before the first clustering; says from when on there is one.

    Args:
        cfg (Config): The config.
        trained (TrainedModel): The model.
        missing (str): What a clustering finds.
    """
    epoch = "" if trained.epoch is None else f" (epoch {trained.epoch})"
    starts = [hook.get("start", 0) for hook in cfg.get("custom_hooks", []) if hook["type"] == "ReclusterHook"]
    when = (
        f"ReclusterHook first clusters before epoch {starts[0] + 1}; use a checkpoint of that epoch or a later one."
        if starts
        else "the config has no ReclusterHook in custom_hooks."
    )
    return UserInputError(f"{trained.checkpoint}{epoch} has no {missing} yet: {when}")


def all_class_names(dataset: Any, num_classes: int) -> list[str]:
    """Names of all classes of a model; a class that the data set does not name is called by its number.

    Args:
        dataset (Dataset): The data set.
        num_classes (int): Number of classes ``C``.
    """
    names = get_class_names(dataset)
    return [*names, *map(str, range(len(names), num_classes))]


def load_image(path: Path, dataset: Any) -> Tensor:
    """Read an image through the pipeline of a data set.

    A pipeline that does not resize (CIFAR) would leave a photograph large, and the model has learned nothing about
    patterns of that scale; so the image gets the size of those of the data set.

    Args:
        path (Path): The image file.
        dataset (Dataset): The data set, with the test pipeline.

    Returns:
        Tensor: BGR uint8 ``(3, H, W)``.

    Raises:
        UserInputError: If the file is missing or no image.
    """
    if not path.is_file():
        raise UserInputError(f"image {path} does not exist.")
    inputs: Tensor = build_leaf_table(dataset).leaves[0].pipeline({"img_path": str(path)})["inputs"]
    height, width = dataset[0]["inputs"].shape[1:]
    if inputs.shape[1:] == (height, width):
        return inputs
    resized = mmcv.imresize(inputs.numpy().transpose(1, 2, 0), (width, height), interpolation="area")
    return torch.from_numpy(resized.transpose(2, 0, 1).copy())


def find_label(query: str, names: Sequence[str]) -> int:
    """The label of a class that is given by name or number.

    Args:
        query (str): What ``--classes`` was given.
        names (Sequence[str]): Class names, ``C`` of them.

    Raises:
        UserInputError: If there is no such class.
    """
    if query in names:
        return names.index(query)
    if re.fullmatch(r"-?\d+", query):
        if not 0 <= int(query) < len(names):
            raise UserInputError(f"--classes {query} is out of range; the model has classes 0 to {len(names) - 1}.")
        return int(query)
    near = get_close_matches(query, names, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names[:5])}, ..."
    raise UserInputError(f"--classes {query!r} is no class of the data set; {hint}")
