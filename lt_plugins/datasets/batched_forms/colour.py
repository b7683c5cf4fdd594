"""Batched forms of changes of the colour."""

from __future__ import annotations

from mmcv.transforms import RandomGrayscale
from mmpretrain.datasets.transforms import ColorJitter as MMPretrainColorJitter

from lt_plugins.augmentation.color_jitter import ColorJitter
from lt_plugins.augmentation.grayscale import Grayscale
from lt_plugins.augmentation.random_apply import RandomApply
from lt_plugins.datasets.batched_forms.forms import batched_form_of, refuse_settings


@batched_form_of(MMPretrainColorJitter)
def color_jitter(transform: MMPretrainColorJitter) -> ColorJitter:
    """Translate mmpretrain's ``ColorJitter`` by OpenCV."""
    refuse_settings(transform, backend="cv2")
    return ColorJitter(transform.brightness, transform.contrast, transform.saturation, transform.hue)


@batched_form_of(RandomGrayscale)
def random_grayscale(transform: RandomGrayscale) -> RandomApply:
    """Translate mmcv's ``RandomGrayscale`` that keeps three channels."""
    refuse_settings(transform, keep_channels=True)
    if transform.color_format == "hsv":
        refuse_settings(transform, color_format="bgr")
    return RandomApply(Grayscale(tuple(transform.channel_weights)), transform.prob)
