"""Count, mean and covariance of several groups of features, and how those of a batch join them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lt_plugins.models.covariance.covariance_form import CovarianceForm

# Numbers in the largest intermediate of a batch's second moments: 16 MB in float32.
MAX_NUMBERS = 2**22


@dataclass(frozen=True)
class Moments:
    """What is known of ``G`` groups of ``D``-dimensional features.

    Args:
        count (Tensor): (Soft) number of features, shape ``(G,)``.
        mean (Tensor): Their means, shape ``(G, D)``.
        covariance (Tensor): Their biased covariances (divided by the count), as a :class:`CovarianceForm` stores them.
    """

    count: Tensor
    mean: Tensor
    covariance: Tensor


class GroupSums(NamedTuple):
    """Sums over the features of a batch, seen from a reference point; those of several processes add up.

    Args:
        weight (Tensor): (Soft) number of features, shape ``(G,)``.
        first (Tensor): Sum of the features, shape ``(G, D)``.
        second (Tensor): Sum of their outer products, stored as a covariance.
    """

    weight: Tensor
    first: Tensor
    second: Tensor


def group_sums(
    features: Tensor, assignment: Tensor, num_groups: int, reference: Tensor, form: CovarianceForm
) -> GroupSums:
    """Sum the features of a batch and their outer products, group by group.

    The reference keeps the difference of two large numbers out of the covariance; it should lie near the features and
    be the same on every process. Intermediates do not grow with the batch.

    Args:
        features (Tensor): Features of a batch, shape ``(P, D)``.
        assignment (Tensor): Group of each feature, int64 ``(P,)``, or its weight in each group, shape ``(P, G)``.
        num_groups (int): Number of groups ``G``.
        reference (Tensor): Subtracted from each feature, shape ``(D,)``; gives the type of the sums.
        form (CovarianceForm): How the outer products are stored.
    """
    features = features.to(reference) - reference
    sums = GroupSums(*(reference.new_zeros(num_groups, *shape) for shape in ((), (form.channels,), form.shape)))
    chunk = max(1, MAX_NUMBERS // sums.second[0].numel())
    for part, groups in zip(features.split(chunk), assignment.split(chunk), strict=True):
        values = (part.new_ones(len(part)), part, form.outer(part))
        for total, value in zip(sums, values, strict=True):
            if groups.ndim == 1:
                total.index_add_(0, groups, value)
            else:
                total.view(num_groups, -1).addmm_(groups.to(value).T, value.reshape(len(value), -1))
    return sums


def sums_to_moments(sums: GroupSums, reference: Tensor, form: CovarianceForm) -> Moments:
    """Count, mean and covariance from sums.

    A batch with a sum that is not finite becomes one without features, on every process and without asking the device:
    half precision overflowed in it, its step is skipped, and it would spoil what is known for good.

    Args:
        sums (GroupSums): Sums of one batch, of all processes; zeroed in place if one is not finite.
        reference (Tensor): What they are seen from, shape ``(D,)``.
        form (CovarianceForm): How the covariances are stored.
    """
    ends = torch.stack([end for total in sums for end in total.aminmax()])
    overflow = ~ends.isfinite().all()
    for total in sums:
        total.masked_fill_(overflow, 0.0)
    weight = sums.weight.clamp(min=torch.finfo(sums.weight.dtype).tiny)[:, None]
    offset = sums.first / weight
    covariance = sums.second / form.broadcast(weight)
    form.add_outer_(covariance, offset, -torch.ones_like(weight))
    return Moments(sums.weight, reference + offset, covariance)


def update_moments(known: Moments, new: Moments, form: CovarianceForm) -> None:
    r"""Join a batch to what is known, in place, as if all features had come at once.

    With :math:`n` features so far, :math:`m` new ones and :math:`a = m / (m + n)`,

    .. math::
        \Sigma \leftarrow (1 - a) \Sigma + a \Sigma' + a (1 - a) (\mu - \mu') (\mu - \mu')^\top, \quad
        \mu \leftarrow (1 - a) \mu + a \mu', \quad n \leftarrow n + m

    A group that is absent from the batch keeps its state. Source: Wang et al., "Implicit Semantic Data Augmentation for
    Deep Networks" (NeurIPS 2019), the online estimation of covariances.

    Args:
        known (Moments): So far; changed in place.
        new (Moments): Of the batch.
        form (CovarianceForm): How the covariances are stored.
    """
    total = known.count + new.count
    share = (new.count / total.clamp(min=torch.finfo(total.dtype).tiny))[:, None]
    difference = new.mean - known.mean
    known.covariance.lerp_(new.covariance, form.broadcast(share))
    form.add_outer_(known.covariance, difference, share * (1 - share))
    known.mean.addcmul_(share, difference)
    known.count.copy_(total)
