"""Do the parts of a model fit each other and the data? Found out with one image before the first step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmpretrain.models import ImageClassifier
from torch import Tensor, nn
from torch.nn.modules.batchnorm import SyncBatchNorm, _BatchNorm
from torch.utils.data import DataLoader

from lt_plugins.datasets.loader_order import batch_parts, ordinary_sampler
from lt_plugins.errors import UserInputError
from lt_plugins.models.classifiers import (
    AuxLossClassifier,
    FrozenBackboneClassifier,
    GLMCClassifier,
    H2TClassifier,
    MomentumClassifier,
    SelfSupervisedClassifier,
    TwoViewClassifier,
)
from lt_plugins.models.evaluation_mode import evaluation_mode
from lt_plugins.models.structures import LabelledQueue

ONE_VIEW = (ImageClassifier, AuxLossClassifier, FrozenBackboneClassifier, H2TClassifier)


def check_part_sizes(model: Any, loader: DataLoader[Any], sample: Any, world_size: int) -> None:
    """Pass one empty image through backbone, neck, head and projector, and compare what comes out.

    It runs in evaluation mode, without gradient, on an image of the size of a training image, so that neither weights,
    running statistics, random state nor training flags change.

    Args:
        model (nn.Module): The classifier, without wrappers.
        loader (DataLoader): The training data.
        sample (Any): An item of its dataset.
        world_size (int): Number of processes.

    Raises:
        UserInputError: If the images are not what the model takes, a part does not take what the part before it gives,
            a projection or the scores have another length than what they are compared with, a queue is smaller than a
            batch, a batch comes in other parts than the model takes, or batch norm would meet a single value a channel.
    """
    if not isinstance(getattr(model, "backbone", None), nn.Module):
        return  # nothing whose parts are known
    views = _views(model, sample)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    with evaluation_mode(model), torch.no_grad(), _batch_norm_rows(model) as rows:
        image = torch.zeros(1, *views[0].shape, dtype=views[0].dtype, device=device)
        name = type(model.data_preprocessor).__name__
        image = _run(lambda: model.data_preprocessor({"inputs": image})["inputs"], name, image, "the dataset")
        feats = _run(lambda: model.backbone(image), _named(model, "backbone"), image, name)
        last = "backbone"
        if isinstance(model, SelfSupervisedClassifier):
            _run(lambda: model.compare(feats), _named(model, "algorithm"), feats, _named(model, last))
        if getattr(model, "neck", None) is not None and not _is_empty(model.neck):
            feats = _run(lambda: model.neck(feats), _named(model, "neck"), feats, _named(model, last))
            last = "neck"
        if isinstance(getattr(model, "projector", None), nn.Module):
            projection = _run(
                lambda: model.projector(feats[-1:]), _named(model, "projector"), feats, _named(model, last)
            )
            _check_projection(model, projection[-1].shape[-1])
            if isinstance(getattr(model, "predictor", None), nn.Module):
                predicted = _run(
                    lambda: model.predictor(projection),
                    _named(model, "predictor"),
                    projection,
                    _named(model, "projector"),
                )
                _check_predicted(model, predicted[-1].shape[-1], projection[-1].shape[-1])
        head = getattr(model, "head", None)
        if isinstance(head, nn.Module):
            _check_experts(model)
            logits = _run(lambda: head(feats), _named(model, "head"), feats, _named(model, last))
            num_classes = getattr(head, "num_classes", None)
            if isinstance(logits, Tensor) and num_classes is not None and logits.shape[-1] != num_classes:
                raise UserInputError(
                    f"{_named(model, 'head')} gives {logits.shape[-1]} scores for num_classes={num_classes}."
                )
    batch_size = math.prod(batch_parts(loader)) // _mixed_parts(model)
    _check_parts(model, batch_parts(loader)[1])
    setting = "model.algorithm.head.loss.queue_size" if hasattr(model, "algorithm") else "model.queue_size"
    for queue in (module for module in model.modules() if isinstance(module, LabelledQueue)):
        if 0 < queue.size < batch_size * world_size:
            raise UserInputError(
                f"{setting}={queue.size} is smaller than the batch of all processes ({batch_size * world_size}); set "
                "it to at least that, or 0 for no queue."
            )
    _check_single_images(model, loader, rows, world_size)


def smallest_batch(loader: DataLoader[Any]) -> int:
    """Images in the smallest batch of an epoch, usually the last one; 0 if the loader does not say.

    Args:
        loader (DataLoader): The training data.
    """
    size, parts = batch_parts(loader)
    drop_last = getattr(loader.batch_sampler, "drop_last", False)
    try:
        images = len(ordinary_sampler(loader))
    except TypeError:  # an endless sampler
        return size * parts
    if not size:
        return 0
    return parts * (size if drop_last or images % size == 0 else images % size)


def _check_parts(model: Any, parts: int) -> None:
    """The model reads a batch in the parts that it comes in."""
    of_head = getattr(getattr(model, "head", None), "num_parts", None)
    known = getattr(model, "num_environments", None)
    mixed = _mixed_parts(model)
    reads = (of_head or known or 1) * mixed
    if reads == parts:
        return
    fix = "leave train_dataloader.batch_sampler out (None), or give it as many companions less one"
    if of_head:
        fix = f"give train_dataloader.batch_sampler {of_head - 1}, of the meta set"
    elif mixed > 1:
        fix = f"give train_dataloader.batch_sampler {reads - 1} companion(s), or remove model.train_cfg.augments"
    elif parts > 1:
        own = "" if known else "model.type='AuxLossClassifier' and "
        fix = f"set {own}model.num_environments={parts}, or leave train_dataloader.batch_sampler out (None)"
    raise UserInputError(
        f"{type(model.head if of_head else model).__name__} reads a batch in {reads} part{'s' * (reads > 1)}, but it "
        f"comes in {parts}, 1 and the number of companions; {fix}."
    )


def _mixed_parts(model: Any) -> int:
    """Of how many parts of a batch the preprocessor makes one."""
    return getattr(getattr(model, "data_preprocessor", None), "num_parts", 1)


def _views(model: Any, sample: Any) -> list[Tensor]:
    inputs = sample.get("inputs") if isinstance(sample, dict) else None
    given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    views = [view for view in given if isinstance(view, Tensor)]
    if not views or len(views) < len(given):
        raise UserInputError(
            "the train pipeline ends without the images that a model takes (inputs); let it begin with "
            "dict(type='LoadImage') and end with dict(type='PackInputs')."
        )
    if len(views) > 1 and type(model) in ONE_VIEW:
        raise UserInputError(
            f"{type(model).__name__} trains on one view of each image and the train pipeline gives {len(views)}; "
            "remove MultiView from it."
        )
    taken = getattr(model, "num_views", 2)
    if len(views) != taken and isinstance(model, (GLMCClassifier, TwoViewClassifier)):
        count = "two" if taken == 2 else "three"
        raise UserInputError(
            f"{type(model).__name__} trains on {count} views of each image and the train pipeline gives {len(views)}; "
            f"put a MultiView transform with {count} views into it."
        )
    if isinstance(model, SelfSupervisedClassifier):
        model.check_views(len(views))
    return views


def _run(compute: Any, part: str, given: Any, giver: str) -> Any:
    try:
        return compute()
    except (UserInputError, torch.OutOfMemoryError):
        raise
    except (RuntimeError, ValueError, AssertionError, IndexError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise UserInputError(
            f"{part} does not take what {giver} gives, shape {_shape(given)} for one image ({reason:.200}); give them "
            "sizes that fit (in_channels, img_size, mean and std)."
        ) from error


def _check_experts(model: Any) -> None:
    """A head that reads the last map alone would leave all experts but one untrained."""
    given, read = (getattr(part, "num_experts", 1) for part in (model.backbone, model.head))
    if given != read:
        raise UserInputError(
            f"{_named(model, 'backbone')} has {given} expert(s) and {_named(model, 'head')} reads {read}; give both "
            "the same num_experts, with a MultiExpertHead for more than one."
        )


def _check_projection(model: Any, length: int) -> None:
    queue = getattr(model, "queue", None)
    if queue is not None and queue.features.shape[1] != length:
        raise UserInputError(
            f"{_named(model, 'projector')} gives projections of length {length}, but model.projection_dim="
            f"{queue.features.shape[1]}; set model.projection_dim={length}."
        )


def _check_predicted(model: Any, length: int, expected: int) -> None:
    if length != expected:
        raise UserInputError(
            f"{_named(model, 'predictor')} predicts projections of length {expected} by vectors of length {length}; "
            f"set model.predictor.out_channels={expected}."
        )


def _check_single_images(model: Any, loader: DataLoader[Any], rows: dict[nn.Module, int], world_size: int) -> None:
    """Batch norm in training mode needs two values of each channel."""
    together = isinstance(model, TwoViewClassifier) and not isinstance(model, MomentumClassifier)
    views = model.num_views if together and not model.separate_passes else getattr(model, "views_together", 1)
    smallest = smallest_batch(loader) // _mixed_parts(model)
    if smallest * views != 1:
        return
    names = {module: name for name, module in model.named_modules()}
    safe = {f"head.{name}" for name in getattr(model.head, "single_row_safe", ())}
    for module, count in rows.items():
        is_shared = isinstance(module, SyncBatchNorm) or "Sync" in type(module).__name__
        is_safe = names[module] in safe or not module.training or (is_shared and world_size > 1)
        if count == 1 and not is_safe:
            what = "each batch" if loader.batch_size == 1 else "the last batch of an epoch"
            fix = (
                "set train_dataloader.batch_size to 2 or more"
                if loader.batch_size == 1
                else "set train_dataloader.drop_last=True, or another train_dataloader.batch_size"
            )
            raise UserInputError(
                f"{what} has one image, of which {type(module).__name__} (model.{names[module]}) cannot compute a "
                f"variance; {fix}."
            )


@contextmanager
def _batch_norm_rows(model: nn.Module) -> Iterator[dict[nn.Module, int]]:
    """Values a channel that each batch norm has of one image; filled by the forward passes inside."""
    rows: dict[nn.Module, int] = {}

    def note(module: nn.Module, inputs: Sequence[Tensor], _: Any) -> None:
        rows[module] = inputs[0].numel() // inputs[0].shape[1]

    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    handles = [module.register_forward_hook(note) for module in norms]
    try:
        yield rows
    finally:
        for handle in handles:
            handle.remove()


def _is_empty(module: nn.Module) -> bool:
    return isinstance(module, nn.Sequential) and len(module) == 0


def _named(model: Any, part: str) -> str:
    module = getattr(model, part)
    return f"{type(module).__name__} (model.{part})"


def _shape(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        value = value[-1] if value else None
    return str(tuple(value.shape)) if isinstance(value, Tensor) else "none"
