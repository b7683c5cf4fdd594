"""Assign samples to centres of limited capacity: the greedy of SBCL's Algorithm 1, in vectorised rounds."""

from __future__ import annotations

import torch
from torch import Tensor

from lt_plugins.errors import UserInputError


def balanced_assignment(
    similarity: Tensor, capacity: int | Tensor, sample_mask: Tensor | None = None, centre_mask: Tensor | None = None
) -> Tensor:
    """Take the most similar pair of sample and centre, again and again; an assigned sample and a full centre leave.

    This is the result of that greedy, not an approximation of it. Pairs of equal similarity are taken by ascending
    sample, then by ascending centre. Since one strict order of all pairs ranks the centres for each sample and the
    samples for each centre, the greedy assignment is the only stable matching (no sample and centre would both rather
    have each other), and proposals in rounds find it: each free sample proposes to the best centre that would still
    have it, each centre keeps the best of those that proposed so far. A dozen rounds of tensor operations replace the
    walk over all sorted pairs. Source: SBCL (Hou et al., 2023), Algorithm 1; Gale and Shapley (1962).

    Args:
        similarity (Tensor): Floating, shape ``(n, m)``, or ``(B, n, m)`` for separate problems at once.
        capacity (int | Tensor): How many samples a centre takes at most: one for all, or integers of shape ``(m,)``, or
            ``(B, m)``.
        sample_mask (Tensor, optional): Which samples there are, bool ``(n,)`` or ``(B, n)``. Defaults to all.
        centre_mask (Tensor, optional): Which centres there are, bool ``(m,)`` or ``(B, m)``. Defaults to all.

    Returns:
        Tensor: Centre of each sample, int64 ``(n,)`` or ``(B, n)``; -1 where there is no sample.

    Raises:
        UserInputError: If shapes do not fit, a similarity is not finite, a capacity is less than 1, or the centres
            cannot take all samples.
    """
    if similarity.dim() not in (2, 3) or not similarity.is_floating_point():
        raise UserInputError(
            f"similarity must be a floating tensor of shape (n, m) or (B, n, m), "
            f"got {similarity.dtype} {tuple(similarity.shape)}."
        )
    *batch, num_samples, num_centres = similarity.shape
    samples = _mask("sample_mask", sample_mask, (*batch, num_samples), similarity.device)
    centres = _mask("centre_mask", centre_mask, (*batch, num_centres), similarity.device)
    limit = _capacities(capacity, centres)
    # A copy, in which refused proposals are crossed out; what is masked may be anything, also NaN.
    used = samples[..., :, None] & centres[..., None, :]
    similarity = similarity.detach().where(used, 0)
    if similarity.numel() and not bool(torch.stack(similarity.aminmax()).isfinite().all()):
        raise UserInputError("similarity holds values that are not finite; the features have diverged.")
    need, places = samples.sum(-1).flatten(), limit.sum(-1).flatten()
    if bool((need > places).any()):
        worst = int((need - places).argmax())
        raise UserInputError(
            f"{int(need[worst])} samples do not fit into centres of {int(places[worst])} places in total; "
            f"raise the capacity or the number of centres."
        )
    if not batch:
        return _propose(similarity[None], limit[None], samples[None])[0]
    return _propose(similarity, limit, samples)


def _mask(name: str, mask: Tensor | None, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """The mask itself, or one that holds everything."""
    if mask is None:
        return torch.ones(shape, dtype=torch.bool, device=device)
    if mask.shape != shape or mask.dtype != torch.bool:
        raise UserInputError(f"{name} must be a bool tensor of shape {shape}, got {mask.dtype} {tuple(mask.shape)}.")
    return mask


def _capacities(capacity: int | Tensor, centres: Tensor) -> Tensor:
    """Places of each centre, int64 in the shape of the mask of centres; none where there is no centre."""
    limit = torch.as_tensor(capacity, device=centres.device)
    if limit.is_floating_point() or (limit.dim() > 0 and limit.shape not in (centres.shape, centres.shape[-1:])):
        raise UserInputError(
            f"capacity must be an integer or integers of shape {tuple(centres.shape)}, "
            f"got {limit.dtype} {tuple(limit.shape)}."
        )
    limit = limit.long().expand(centres.shape)
    if bool((centres & (limit < 1)).any()):
        raise UserInputError(f"capacity={int(limit[centres].min())} must be at least 1 for each centre.")
    return torch.where(centres, limit, 0)


def _propose(similarity: Tensor, capacity: Tensor, samples: Tensor) -> Tensor:
    """Deferred acceptance in all problems at once.

    Args:
        similarity (Tensor): Shape ``(B, n, m)``, finite; is changed.
        capacity (Tensor): Places of each centre, 0 where there is none, int64 ``(B, m)``.
        samples (Tensor): Which samples there are, bool ``(B, n)``.

    Returns:
        Tensor: Centre of each sample, or -1, int64 ``(B, n)``.
    """
    num_problems, num_samples, num_centres = similarity.shape
    rows = similarity.reshape(num_problems * num_samples, num_centres)
    place = capacity.flatten()  # (B * m,)
    holder = torch.full((len(rows),), -1, device=rows.device)  # the centre in 0..B*m-1 that keeps the sample
    value = rows.new_zeros(len(rows))  # the similarity to it
    # The least similarity that gets in: that of the worst sample of a full centre.
    bar = torch.where(capacity > 0, -torch.inf, torch.inf).to(rows.dtype)  # (B, m)
    free = samples.flatten().nonzero().flatten()
    while len(free):
        problem = free // num_samples
        row = rows.index_select(0, free)
        # Of equal values, max takes the first.
        value[free], column = row.where(row >= bar.index_select(0, problem), -torch.inf).max(dim=1)
        holder[free] = centre = problem * num_centres + column
        # Only centres with new proposals choose again.
        asked = torch.zeros_like(place, dtype=torch.bool)
        asked[centre] = True
        rival = (asked[holder] & (holder >= 0)).nonzero().flatten()
        rival = rival[value[rival].argsort(descending=True, stable=True)]
        rival = rival[holder[rival].argsort(stable=True)]  # by centre, then best first, then by sample
        chosen = holder[rival]
        count = torch.bincount(chosen, minlength=len(place))
        rank = torch.arange(len(rival), device=rows.device) - (count.cumsum(0) - count)[chosen]
        last = rank == place[chosen] - 1
        bar.view(-1)[chosen[last]] = value[rival[last]]
        free = rival[rank >= place[chosen]]
        # A refused sample that equals the worst one kept must not ask again.
        rows[free, holder[free] % num_centres] = -torch.inf
        holder[free] = -1
    problem_start = torch.arange(num_problems, device=rows.device)[:, None] * num_centres
    holder = holder.view(num_problems, num_samples)
    return torch.where(holder >= 0, holder - problem_start, -1)
