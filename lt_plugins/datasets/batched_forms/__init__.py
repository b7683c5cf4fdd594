"""Batched forms of the transforms of mmcv, mmpretrain and this package."""

from .forms import batched_form, batched_form_of, refuse_settings

__all__ = ["batched_form", "batched_form_of", "refuse_settings"]
