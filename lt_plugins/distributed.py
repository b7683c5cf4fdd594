"""Sums and seeds that the processes of a training share, on ``torch.distributed`` alone; one process needs no group."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def rank_and_world_size() -> tuple[int, int]:
    """Rank of this process and number of processes; ``(0, 1)`` without a process group."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def sum_over_processes(values: Tensor) -> None:
    """Add the values of all processes up, in place; gradients do not pass.

    Args:
        values (Tensor): Values of this process, of the same shape on each, on a device that the backend handles.
    """
    if rank_and_world_size()[1] > 1:
        dist.all_reduce(values)


def shared_seed() -> int:
    """Draw a seed below ``2 ** 31`` from torch's global generator; every process gets that of rank 0."""
    seed = [int(torch.randint(2**31, ()))]
    if rank_and_world_size()[1] > 1:
        dist.broadcast_object_list(seed)
    return seed[0]
