"""Batched forms of transforms that apply others."""

from __future__ import annotations

from mmcv.transforms import Compose
from mmcv.transforms import RandomApply as MMCVRandomApply

from lt_plugins.augmentation.chain import Chain
from lt_plugins.augmentation.random_apply import RandomApply
from lt_plugins.datasets.batched_forms.forms import batched_form, batched_form_of


@batched_form_of(Compose)
def compose(transform: Compose) -> Chain:
    """Translate mmcv's ``Compose``, each of its transforms by itself."""
    return Chain([batched_form(step) for step in transform.transforms])


@batched_form_of(MMCVRandomApply)
def random_apply(transform: MMCVRandomApply) -> RandomApply:
    """Translate mmcv's ``RandomApply`` with the transforms that it applies."""
    return RandomApply(compose(transform.transforms), transform.prob)
