"""Split the large classes into subclasses of about the size of the smallest class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.clustering.balanced_assignment import balanced_assignment
from lt_plugins.errors import UserInputError

MAX_ENTRIES = 1 << 21
"""Entries of the padded features, or of the similarities, of the classes that are clustered together."""


class SubclassClusters(NamedTuple):
    """Outcome of :func:`subclass_clusters`.

    Args:
        subclass (Tensor): Subclass of each sample, int64 ``(N,)``; numbered without gaps by class, then by centre.
        subclass_to_class (Tensor): Class of each subclass, int64 ``(S,)``.
        mean_cosine (float): Mean cosine of the samples of split classes to the mean of their subclass; 1 if none is
            split.
        num_iters (int): Assignments until the last class had settled.
        num_unsettled (int): Classes whose assignment still changed at the last iteration.
    """

    subclass: Tensor
    subclass_to_class: Tensor
    mean_cosine: float
    num_iters: int
    num_unsettled: int


def subclass_clusters(
    features: Tensor,
    labels: Tensor,
    min_size: int = 10,
    max_iters: int = 50,
    seed: int = 0,
    balanced: bool = True,
    rounding: str = "up",
    start: str = "farthest",
) -> SubclassClusters:
    """Cluster each class into subclasses of at most ``M`` samples, all classes at once.

    ``M`` is the size of the smallest class, but at least ``min_size``. A class of ``n > M`` samples gets
    ``ceil(n / M)`` centres (the paper leaves the number open), the fewest that can hold it; other classes stay whole.
    The first centre is a random sample, each further one the sample least similar to those before it. Then samples are
    assigned by :func:`balanced_assignment` and centres move to the mean of their samples, until nothing changes.
    Similarity is the cosine. Deterministic for a seed and device; classes are taken in groups of bounded memory.
    Source: SBCL (Hou et al., 2023), Algorithm 1.

    On features of CIFAR-100-LT classes settle within 10 to 25 assignments. The greedy is not the best assignment under
    the capacity, so it lowers no objective for certain, and a rare class goes round between a few assignments for ever.

    Args:
        features (Tensor): Shape ``(N, D)``, of any length.
        labels (Tensor): Class of each sample, in any order, int64 ``(N,)``.
        min_size (int): The paper's delta: least capacity of a subclass. Defaults to 10.
        max_iters (int): Assignments at most. Defaults to 50.
        seed (int): Seed of the first centre of each class. Defaults to 0.
        balanced (bool): If False, each sample goes to its most similar centre: plain k-means, as in the public code,
            whose subclasses differ in size. Defaults to True.
        rounding (str): ``"up"`` for ``ceil(n / M)`` centres, ``"down"`` for ``max(1, floor(n / M))``, as in the public
            code; those cannot hold a class within the capacity, so only without ``balanced``. Defaults to ``"up"``.
        start (str): ``"farthest"`` for centres far from each other, as in the paper, ``"random"`` for distinct random
            samples, as in the public code. Defaults to ``"farthest"``.

    Returns:
        SubclassClusters: Subclass of each sample, class of each subclass, and how well it went.

    Raises:
        UserInputError: If shapes do not fit, there are no samples, labels are negative, features are not finite,
            ``min_size`` or ``max_iters`` is less than 1, or ``rounding`` or ``start`` is unknown or does not fit.
    """
    check_subclass_options(balanced, rounding, start)
    _check(features, labels, min_size, max_iters)
    labels = labels.to(features.device)
    counts = torch.bincount(labels)
    capacity = max(int(counts[counts > 0].min()), min_size)
    num_centres = -(-counts // capacity) if rounding == "up" else (counts // capacity).maximum(counts.clamp(max=1))
    # Drawn for all classes at once, on the CPU: neither the grouping nor the device matters.
    generator = torch.Generator().manual_seed(seed)
    number = len(counts) if start == "farthest" else len(labels)
    draw = torch.rand(number, dtype=torch.float64, generator=generator).to(counts.device)
    by_class, offset = labels.argsort(stable=True), counts.cumsum(0) - counts
    centre = torch.zeros_like(labels)
    length, num_iters, num_unsettled = 0.0, 0, 0
    for group in _groups(counts, num_centres, features.shape[1]):
        position = torch.arange(int(counts[group].max()), device=labels.device)
        present = position < counts[group, None]  # (B, n)
        member = by_class[(offset[group, None] + position).clamp(max=len(labels) - 1)]
        unit = _directions(features[member]) * present[..., None]  # (B, n, D)
        most = int(num_centres[group].max())
        if start == "farthest":
            seeds = _farthest_first(unit, present, (draw[group] * counts[group]).long(), most)
        else:
            chosen = draw[member].where(present, torch.inf).topk(most, dim=1, largest=False).indices
            seeds = unit.take_along_dim(chosen[..., None], dim=1)
        exists = torch.arange(seeds.shape[1], device=labels.device) < num_centres[group, None]
        assignment, iters, unsettled = _iterate(unit, present, seeds, exists, capacity if balanced else None, max_iters)
        centre[member[present]] = assignment[present]
        # A sum of unit vectors is as long as the sum of their cosines to it.
        length += float((_membership(assignment, exists).to(unit.dtype) @ unit).norm(dim=2).sum())
        num_iters, num_unsettled = max(num_iters, iters), num_unsettled + unsettled
    split = int(counts[num_centres > 1].sum())
    # Plain k-means may leave centres without samples.
    used, subclass = ((num_centres.cumsum(0) - num_centres)[labels] + centre).unique(return_inverse=True)
    owner = torch.arange(len(counts), device=labels.device).repeat_interleave(num_centres)
    return SubclassClusters(subclass, owner[used], length / split if split else 1.0, num_iters, num_unsettled)


def check_subclass_options(balanced: bool, rounding: str, start: str) -> None:
    """Refuse options of :func:`subclass_clusters` that it does not know or that exclude each other.

    Args:
        balanced (bool): Whether a subclass has a capacity.
        rounding (str): How the number of centres is rounded.
        start (str): How the first centres are chosen.

    Raises:
        UserInputError: If one is unknown, or centres rounded down have a capacity.
    """
    for name, value, known in (("rounding", rounding, ("up", "down")), ("start", start, ("farthest", "random"))):
        if value not in known:
            raise UserInputError(f"{name}={value!r} must be one of {known}.")
    if balanced and rounding == "down":
        raise UserInputError(
            "rounding='down' gives a class fewer subclasses than hold its samples within the capacity; set "
            "balanced=False (plain k-means) or rounding='up'."
        )


def _check(features: Tensor, labels: Tensor, min_size: int, max_iters: int) -> None:
    if features.dim() != 2 or not features.is_floating_point() or labels.shape != features.shape[:1] or not len(labels):
        raise UserInputError(
            f"features must be floating of shape (N, D) and labels of shape (N,) with N >= 1, "
            f"got {features.dtype} {tuple(features.shape)} and {tuple(labels.shape)}."
        )
    if int(labels.min()) < 0:
        raise UserInputError(f"labels must be classes from 0 up, got {int(labels.min())}.")
    if min_size < 1 or max_iters < 1:
        raise UserInputError(f"min_size={min_size} and max_iters={max_iters} must be at least 1.")
    if not bool(torch.linalg.vector_norm(features, dim=1, dtype=_precision(features)).isfinite().all()):
        raise UserInputError("features hold values that are not finite; the network has diverged.")


def _directions(vectors: Tensor) -> Tensor:
    """Unit vectors, zero stays zero; at least in single precision."""
    return F.normalize(vectors.detach().to(_precision(vectors)), dim=-1)


def _precision(vectors: Tensor) -> torch.dtype:
    return torch.promote_types(vectors.dtype, torch.float32)


def _groups(counts: Tensor, num_centres: Tensor, dim: int) -> Iterator[Tensor]:
    """Classes to split, large ones first, in groups of similar size whose padded tensors fit into the budget."""
    size, number = counts.tolist(), num_centres.tolist()
    group: list[int] = []
    for c in sorted((c for c in range(len(size)) if number[c] > 1), key=lambda c: -size[c]):
        if group:
            entries = (len(group) + 1) * size[group[0]] * max(dim, number[group[0]])
            if entries > MAX_ENTRIES or 2 * size[c] < size[group[0]]:
                yield torch.tensor(group, device=counts.device)
                group = []
        group.append(c)
    if group:
        yield torch.tensor(group, device=counts.device)


def _farthest_first(unit: Tensor, present: Tensor, first: Tensor, num_centres: int) -> Tensor:
    """Choose samples as centres, each the least similar to the most similar centre before it.

    Args:
        unit (Tensor): Shape ``(B, n, D)``.
        present (Tensor): Which samples there are, bool ``(B, n)``.
        first (Tensor): The first one, int64 ``(B,)``.
        num_centres (int): How many.

    Returns:
        Tensor: Shape ``(B, k, D)``.
    """
    problem = torch.arange(len(unit), device=unit.device)
    nearest = torch.where(present, -torch.inf, torch.inf).to(unit.dtype)
    chosen = first
    centres = []
    for _ in range(num_centres):
        centres.append(unit[problem, chosen])
        nearest = torch.maximum(nearest, (unit @ centres[-1][..., None]).squeeze(-1))
        nearest[problem, chosen] = torch.inf  # a sample starts one centre, though others may equal it
        chosen = nearest.argmin(dim=1)  # of equal values the first
    return torch.stack(centres, dim=1)


def _iterate(
    unit: Tensor, present: Tensor, centres: Tensor, exists: Tensor, capacity: int | None, max_iters: int
) -> tuple[Tensor, int, int]:
    """Assign samples and move centres until nothing changes; classes that have settled leave.

    Args:
        unit (Tensor): Shape ``(B, n, D)``.
        present (Tensor): Which samples there are, bool ``(B, n)``.
        centres (Tensor): Start, shape ``(B, k, D)``.
        exists (Tensor): Which centres there are, bool ``(B, k)``.
        capacity (int, optional): Samples a centre takes at most; None for any number.
        max_iters (int): Assignments at most.

    Returns:
        tuple[Tensor, int, int]: Centre of each sample, -1 without one, int64 ``(B, n)``; assignments made; classes that
        have not settled.
    """
    assignment = torch.full(present.shape, -1, device=unit.device)
    active = torch.arange(len(unit), device=unit.device)
    num_iters = 0
    while len(active) and num_iters < max_iters:
        num_iters += 1
        similarity = unit @ F.normalize(centres, dim=2).mT  # (B, n, k)
        if capacity is None:
            nearest = similarity.masked_fill(~exists[:, None], -torch.inf).argmax(dim=2)
            new = torch.where(present, nearest, -1)
        else:
            new = balanced_assignment(similarity, capacity, present, exists)
        moved = (new != assignment[active]).any(dim=1)
        assignment[active] = new
        if not bool(moved.all()):
            active, unit, present, exists = active[moved], unit[moved], present[moved], exists[moved]
            centres, new = centres[moved], new[moved]
        member = _membership(new, exists)
        # The direction of a sum is that of the mean. A centre without samples (plain k-means) stays where it is.
        centres = torch.where(member.any(dim=2, keepdim=True), member.to(unit.dtype) @ unit, centres)
    return assignment, num_iters, len(active)


def _membership(assignment: Tensor, exists: Tensor) -> Tensor:
    """Which samples a centre holds, bool ``(B, k, n)``; its product adds in one order, a scatter on CUDA in any."""
    return assignment[:, None] == torch.arange(exists.shape[1], device=exists.device)[:, None]
