"""A pipeline of transforms of one image, parted into what is done once and what is drawn for each image and epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmcv.transforms import CenterCrop as MMCVCenterCrop
from mmcv.transforms import LoadImageFromFile, Resize
from mmpretrain.datasets.transforms import CenterCrop, MultiView, PackInputs, ResizeEdge

from lt_plugins.augmentation.batched_transform import BatchedTransform
from lt_plugins.augmentation.chain import Chain
from lt_plugins.datasets.batched_forms.forms import batched_form
from lt_plugins.datasets.transforms import LoadImage
from lt_plugins.errors import UserInputError

ONCE = (LoadImage, LoadImageFromFile, Resize, ResizeEdge, CenterCrop, MMCVCenterCrop)
"""Transforms at the begin of a pipeline that give the same image every time."""


@dataclass(frozen=True)
class PipelineForm:
    """Pipeline in batched form.

    Args:
        once (tuple[Any, ...]): Transforms of one image that are done once, in memory.
        views (tuple[BatchedTransform, ...]): Transforms of a batch of the rest, one a view; none if there is no rest.
    """

    once: tuple[Any, ...]
    views: tuple[BatchedTransform, ...]


def pipeline_form(transforms: Sequence[Any]) -> PipelineForm:
    """Translate a pipeline.

    Args:
        transforms (Sequence[Any]): Its built transforms: some that load the image, then random ones or one
            ``MultiView``, then ``PackInputs``.

    Returns:
        PipelineForm: The pipeline in batched form.

    Raises:
        UserInputError: If a transform has no batched form, or the pipeline another order.
    """
    steps = list(transforms)
    if not steps or type(steps[-1]) is not PackInputs:
        last = type(steps[-1]).__name__ if steps else "nothing"
        raise UserInputError(
            f"the pipeline of a resident dataset ends with PackInputs, and this one with {last}; use --no-resident, or "
            "put dict(type='PackInputs') at its end."
        )
    num_once = next(i for i, step in enumerate(steps) if type(step) not in ONCE)
    once, rest = steps[:num_once], steps[num_once:-1]
    views = [rest]
    if any(isinstance(step, MultiView) for step in rest):
        if len(rest) > 1:
            other = next(type(step).__name__ for step in rest if not isinstance(step, MultiView))
            raise UserInputError(
                f"{other} stands beside MultiView in the pipeline of a resident dataset; put it into the transforms of "
                "each view, or use --no-resident."
            )
        views = [list(pipeline.transforms) for pipeline in rest[0].transforms]
    if not rest:
        return PipelineForm(tuple(once), ())
    return PipelineForm(tuple(once), tuple(Chain([batched_form(step) for step in view]) for view in views))
