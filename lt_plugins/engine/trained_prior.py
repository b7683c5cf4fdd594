"""Whose prior: which class frequencies the logits of a trained model answer for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lt_plugins.posthoc import class_priors, prior_power

LAST_EPOCH = 10**6
"""An epoch at which whatever is deferred has begun."""


def sampled_prior(sampler: Any, labels: Tensor, counts: Tensor, epoch: int = LAST_EPOCH) -> Tensor:
    r"""Class frequencies of the images that a sampler gives, as a power of those of the training set.

    Counted over an epoch, and smoothed by the power: of a rare class an epoch may hold a handful of images, or none.

    Args:
        sampler (Sampler): The sampler.
        labels (Tensor): Classes of the training images, int64 ``(N,)``.
        counts (Tensor): Training images of each class, shape ``(C,)``.
        epoch (int): The last epoch of the training, from 0, which one that changes follows. Defaults to one by which
            all that is deferred has begun.

    Returns:
        Tensor: :math:`\pi_c^p` with the power to two decimals, sum 1, shape ``(C,)``, float64.
    """
    if hasattr(sampler, "max_epochs"):
        sampler.set_epoch(epoch, epoch + 1)
    drawn = torch.bincount(labels[torch.tensor(list(sampler), dtype=torch.int64)], minlength=len(counts))
    present = counts > 0
    power = prior_power(drawn[present].clamp(min=1), counts[present])
    shares = class_priors(counts) ** round(power, 2)
    return shares / shares.sum()


def trained_prior(head: Any, sampled: Tensor, epoch: int = LAST_EPOCH) -> Tensor:
    """Class prior that the logits of a head answer for.

    Args:
        head (nn.Module): The head; one without ``trained_prior`` answers for what it saw.
        sampled (Tensor): How often each class came in training, shares of shape ``(C,)``.
        epoch (int): The last epoch of the training, from 0, by which deferred weights have begun or not. Defaults to
            one where they have.

    Returns:
        Tensor: Shape ``(C,)``, float64, on the CPU, sum 1.
    """
    loss: Any = getattr(head, "loss_module", None)
    if hasattr(loss, "set_epoch"):
        loss.set_epoch(epoch, epoch + 1)
    find = getattr(head, "trained_prior", None)
    prior = (sampled if find is None else find(sampled)).double().cpu()
    return prior / prior.sum()
