"""Checks and summary of a training run before its first step."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.data import DataLoader

from lt_plugins.checks.image_sizes import check_image_sizes
from lt_plugins.checks.metric_check import check_metrics
from lt_plugins.checks.mixed_labels import check_mixed_labels
from lt_plugins.checks.part_sizes import check_part_sizes
from lt_plugins.datasets.class_names import check_same_classes, leaf_classes, named_classes
from lt_plugins.datasets.class_subset import kept_classes
from lt_plugins.datasets.labels import get_class_counts
from lt_plugins.datasets.leaf_table import build_leaf_table
from lt_plugins.datasets.loader_order import batch_parts
from lt_plugins.datasets.resident_dataset import ResidentDataset
from lt_plugins.errors import UserInputError
from lt_plugins.models.accumulation import accumulating_wrappers, step_followers
from lt_plugins.models.structures import ClassDistribution
from lt_plugins.models.unwrap import unwrap_model

MAX_BUFFERS = 4


@dataclass(frozen=True)
class Allowed:
    """What a run may do although it is a mistake as a rule.

    Args:
        empty_classes (bool): A class has no training image. Defaults to False.
        renamed_classes (bool): Datasets or the checkpoint name the classes differently. Defaults to False.
        small_crops (bool): The model sees small parts of large images. Defaults to False.
    """

    empty_classes: bool = False
    renamed_classes: bool = False
    small_crops: bool = False

    @classmethod
    def by_config(cls, cfg: Mapping[str, Any]) -> Allowed:
        """What the ``PreflightHook`` of a config allows.

        Args:
            cfg (Mapping[str, Any]): The config.
        """
        given = [*(cfg.get("default_hooks") or {}).values(), *(cfg.get("custom_hooks") or ())]
        hooks = [hook for hook in given if hook and _last_name(hook.get("type")) == "PreflightHook"]
        options = {field.name: hook.get(f"allow_{field.name}", False) for hook in hooks for field in fields(cls)}
        return cls(**options)


def _last_name(component: Any) -> str:
    """Name of a type in a config without its scope."""
    return str(component).rpartition(".")[2]


def check_setup(runner: Runner, allowed: Allowed, trained_classes: Sequence[str] | None = None) -> None:
    """Stop what would fail later or train nonsense.

    Args:
        runner (Runner): The runner of the training process, its class counts already filled.
        allowed (Allowed): What may be.
        trained_classes (Sequence[str], optional): Class names of a checkpoint whose classifier goes on.

    Raises:
        UserInputError: If a class is empty, a hook is missing that the model needs, or a dataset does not fit the
            model, the checkpoint or the other dataset, see :func:`check_data`.
    """
    model = unwrap_model(runner.model)
    distribution: ClassDistribution = model.class_distribution
    check_classes(distribution.counts, allowed.empty_classes, kept_classes(runner.train_dataloader.dataset))
    parts = [part for hook in runner.hooks for part in (hook, getattr(hook, "task", None))]
    hook_names = {cls.__name__ for part in parts for cls in type(part).__mro__}
    check_hooks(model, hook_names)
    if accumulating_wrappers(runner.optim_wrapper) and step_followers(model) and "AccumulationHook" not in hook_names:
        raise UserInputError(
            f"the state of {type(step_followers(model)[0]).__name__} follows optimiser steps, which it cannot see with "
            "optim_wrapper.accumulative_counts above 1; add accumulation=dict(type='AccumulationHook') to "
            "default_hooks."
        )
    loaders = {"train": runner.train_dataloader}
    if runner.val_loop is not None:
        loaders["val"] = runner.val_dataloader
    check_data(loaders, distribution.num_classes, allowed, trained_classes)
    check_part_sizes(model, runner.train_dataloader, runner.train_dataloader.dataset[0], runner.world_size)
    check_mixed_labels(model)
    check_metrics(runner, distribution.counts.cpu())


def check_data(
    loaders: Mapping[str, DataLoader[Any]],
    num_classes: int | None,
    allowed: Allowed,
    trained_classes: Sequence[str] | None = None,
) -> None:
    """Refuse datasets that do not fit the model, the checkpoint or each other, in training and in testing.

    Args:
        loaders (Mapping[str, DataLoader]): Data loaders by the name of their split, training first.
        num_classes (int | None): Number of classes of the model, if it says.
        allowed (Allowed): What may be.
        trained_classes (Sequence[str], optional): Class names of the checkpoint.

    Raises:
        UserInputError: If a split yields no batch, has another number of classes, labels beyond it or other class
            names, its first or last image cannot be read, or images are much larger than what its transforms crop.
    """
    named: dict[str, Sequence[str] | None] = {"the checkpoint": trained_classes}
    for split, loader in loaders.items():
        dataset: Any = loader.dataset
        check_batches(split, loader)
        named |= leaf_classes(f"the {split} dataset", dataset)
        names = named_classes(dataset)
        leaves = build_leaf_table(dataset).leaves
        declared = len(names) if names is not None else getattr(leaves[0], "num_classes", num_classes)
        if None not in (num_classes, declared) and declared != num_classes:
            raise UserInputError(
                f"the {split} dataset has {declared} classes, but model.head.num_classes={num_classes}; use datasets "
                "and a head with the same classes."
            )
        # Of the training set ClassDistributionHook has counted them.
        if num_classes is not None and split != "train" and all(hasattr(leaf, "get_gt_labels") for leaf in leaves):
            get_class_counts(dataset, num_classes)
        if isinstance(dataset, ResidentDataset):
            _ = dataset.images  # which reads all of them
        for index in sorted({0, len(dataset) - 1}):
            try:
                dataset[index]
            except (OSError, AssertionError) as error:  # mmcv asserts that an image could be decoded
                raise UserInputError(
                    f"image {index} of the {split} dataset cannot be read ({error}); mend it, and check all files "
                    "with tools/check_data.py CONFIG."
                ) from error
            except (LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError) as error:
                reason = " ".join(str(error).split())
                raise UserInputError(
                    f"image {index} of the {split} dataset does not pass the transforms of {split}_dataloader ("
                    f"{type(error).__name__}: {reason:.200}); look at the pipeline of the dataset."
                ) from error
    if not allowed.renamed_classes:
        check_same_classes(named)
    datasets = {split: loader.dataset for split, loader in loaders.items()}
    one_by_one = [split for split, loader in loaders.items() if loader.batch_size == 1]
    check_image_sizes(datasets, allowed.small_crops, one_by_one)


def check_batches(split: str, loader: DataLoader[Any]) -> None:
    """Refuse a data loader that yields nothing.

    Args:
        split (str): ``"train"``, ``"val"`` or ``"test"``.
        loader (DataLoader): Its data loader.

    Raises:
        UserInputError: If an epoch has no batch.
    """
    if len(loader) == 0:
        path = f"{split}_dataloader"
        holder = f"{path}.batch_sampler" if loader.batch_size is None else path
        raise UserInputError(
            f"{path} has {len(loader.dataset)} images but yields no batch of {batch_parts(loader)[0]}; lower "  # type: ignore[arg-type]
            f"{path}.batch_size or set {holder}.drop_last=False."
        )


def check_hooks(model: nn.Module, hook_names: Collection[str]) -> None:
    """Refuse a model whose buffers nobody would fill: the method would silently be another one.

    Args:
        model (nn.Module): The model; a module of it may have the config of a hook in ``needs_hook``, and one with
            ``set_epoch`` needs ``EpochHook``.
        hook_names (Collection[str]): Names of the hooks of the run, of their tasks, and of the base classes of both.

    Raises:
        UserInputError: If a hook is missing.
    """
    for module in model.modules():
        named = getattr(module, "needs_hook", None)
        for needed in ([named] if named else []) + ([{"type": "EpochHook"}] if hasattr(module, "set_epoch") else []):
            # ReclusterHook may be there with a task of another module.
            if not {needed["type"], needed.get("task", needed)["type"]} <= {*hook_names}:
                raise UserInputError(
                    f"{type(module).__name__} needs {needed['type']}: add {as_source(needed)} to custom_hooks, like "
                    f"custom_hooks = [*_base_.custom_hooks, {as_source(needed)}]."
                )


def as_source(value: Any) -> str:
    """A value as it is written in a config file, with ``dict(key=...)``.

    Args:
        value (Any): A dict with string keys, or any value with a short ``repr``.
    """
    if not isinstance(value, Mapping):
        return repr(value)
    return f"dict({', '.join(f'{key}={as_source(inner)}' for key, inner in value.items())})"


def check_classes(counts: Tensor, allow_empty_classes: bool, kept: Collection[int] | None = None) -> None:
    """Refuse classes without images.

    Args:
        counts (Tensor): Images per class, ``(C,)``.
        allow_empty_classes (bool): Whether they are wanted.
        kept (Collection[int], optional): Those of a ``ClassSubset``, which leaves others out. Defaults to all.

    Raises:
        UserInputError: If a class has no image and this is not allowed.
    """
    empty = [label for label in (counts == 0).nonzero().flatten().tolist() if kept is None or label in kept]
    if empty and not allow_empty_classes:
        shown = ", ".join(map(str, empty[:5])) + (", ..." if len(empty) > 5 else "")
        raise UserInputError(
            f"{len(empty)} of {len(counts)} classes have no training image (classes {shown}); add images, lower "
            "num_classes, or allow it by default_hooks.preflight.allow_empty_classes=True."
        )


def preflight_summary(
    model: Any,
    dataset_name: str,
    hook_names: Sequence[str],
    *,
    device: str,
    world_size: int,
    batch_parts: tuple[int, int],
    num_batches: int,
    max_epochs: int,
    pretrained_on: str | None = None,
) -> str:
    """Describe a run in a few lines.

    Args:
        model (nn.Module): The classifier without wrappers, with a filled ``class_distribution``.
        dataset_name (str): The train dataset.
        hook_names (Sequence[str]): Names of the hooks that belong to the method.
        device (str): What a process computes on.
        world_size (int): Number of processes.
        batch_parts (tuple[int, int]): Images of a part of a batch, and parts: 1 and the number of companions.
        num_batches (int): Steps an epoch.
        max_epochs (int): Epochs.
        pretrained_on (str | None): Labels that its weights have seen before. Defaults to None.

    Returns:
        str: The lines, without a line feed at the end.
    """
    distribution: ClassDistribution = model.class_distribution
    batch_size, parts = batch_parts
    parameters = list(model.parameters())
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    many, medium, few = (int(group.sum()) for group in (distribution.many, distribution.medium, distribution.few))
    rows = {
        "data": f"{dataset_name}: {distribution.num_samples} images, {distribution.num_classes} classes, "
        f"imbalance factor {distribution.imbalance_factor:g}",
        "shots": f"{many} many (> {distribution.many_threshold} images), {medium} medium, "
        f"{few} few (< {distribution.few_threshold})",
        "method": ", ".join([_describe_parts(model), *hook_names]),
        **({"weights": f"pretrained on {pretrained_on}"} if pretrained_on else {}),
        "device": device if world_size == 1 else f"{world_size} processes on {device}",
        "schedule": f"{max_epochs} epochs of {num_batches} steps, batch {batch_size}"
        + (f" x {parts} (with its companions)" if parts > 1 else "")
        + (f" x {world_size}" if world_size > 1 else "")
        + (f" = {batch_size * parts * world_size}" if parts * world_size > 1 else ""),
        "model": f"{_count(parameters)} parameters, {_count(trained)} of them trained",
        "buffers": _describe_buffers(model),
    }
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {text}" for name, text in rows.items())


def describe_device() -> str:
    """Name what this process computes on."""
    if torch.cuda.is_available():
        return f"cuda ({torch.cuda.get_device_name()})"
    return f"cpu ({torch.get_num_threads()} threads)"


def _describe_parts(model: nn.Module) -> str:
    """``Classifier(Backbone, Neck, Head with Loss, AuxLoss)``."""
    parts = []
    for name in ("backbone", "neck", "head"):
        part = getattr(model, name, None)
        if isinstance(part, nn.Module):
            losses = [
                type(module).__name__ for path, module in part.named_modules() if "loss" in path.rpartition(".")[2]
            ]
            parts.append(type(part).__name__ + (f" with {', '.join(losses)}" if losses else ""))
    parts += [type(aux).__name__ for aux in getattr(model, "aux_losses", nn.ModuleDict()).values()]
    return f"{type(model).__name__}({', '.join(parts)})"


def _describe_buffers(model: nn.Module) -> str:
    """The largest buffers apart from the statistics of normalisation layers: queue, prototypes, attribute table, ..."""
    tables = [
        (buffer.numel() * buffer.element_size(), f"{path}.{name}".lstrip("."), tuple(buffer.shape))
        for path, module in model.named_modules()
        if not isinstance(module, _NormBase)
        for name, buffer in module.named_buffers(recurse=False)
    ]
    tables.sort(reverse=True)
    shown = [f"{name} {shape} {_size(size)}" for size, name, shape in tables[:MAX_BUFFERS]]
    rest = [f"{len(tables) - MAX_BUFFERS} smaller"] if len(tables) > MAX_BUFFERS else []
    return f"{_size(sum(size for size, *_ in tables))}: " + ", ".join(shown + rest)


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:.1f} MB" if num_bytes >= 2**20 else f"{num_bytes / 2**10:.1f} KB"


def _count(parameters: Sequence[nn.Parameter]) -> str:
    """``0.47 M``, and a small classifier to the unit."""
    number = sum(parameter.numel() for parameter in parameters)
    return f"{number / 1e6:.2f} M" if number >= 1e4 else str(number)
