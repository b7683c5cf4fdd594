"""Batched forms of the transforms of mmcv, mmpretrain and this package."""

from . import applying, colour, cropping, erasing, policies  # noqa: F401 (they register their forms)
from .forms import batched_form, batched_form_of, refuse_settings
from .pipeline_form import PipelineForm, pipeline_form

__all__ = ["PipelineForm", "batched_form", "batched_form_of", "pipeline_form", "refuse_settings"]
