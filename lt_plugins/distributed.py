"""Collective operations on ``torch.distributed`` alone; a single process needs no process group."""

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


def mean_over_processes(values: list[Tensor]) -> list[Tensor]:
    """Mean over the processes of each of several tensors, in one transfer; gradients do not pass.

    Args:
        values (list[Tensor]): Values of this process, of the same shapes and one type on each.

    Returns:
        list[Tensor]: The means; of a single process the values themselves.
    """
    world_size = rank_and_world_size()[1]
    if world_size == 1:
        return values
    flat = torch.cat([value.flatten() for value in values]) / world_size
    sum_over_processes(flat)
    parts = flat.split([value.numel() for value in values])
    return [part.view_as(value) for part, value in zip(parts, values, strict=True)]


def max_over_processes(values: Tensor) -> None:
    """Take the highest of the values of all processes, in place.

    Args:
        values (Tensor): Values of this process, of the same shape on each, on a device that the backend handles.
    """
    if rank_and_world_size()[1] > 1:
        dist.all_reduce(values, op=dist.ReduceOp.MAX)


def gather_rows(rows: Tensor) -> Tensor:
    """Concatenate the rows of all processes in the order of their ranks; gradients flow back to each.

    Args:
        rows (Tensor): Rows of this process, shape ``(B, ...)``, of the same shape on each.

    Returns:
        Tensor: Shape ``(world_size * B, ...)``.
    """
    world_size = rank_and_world_size()[1]
    if world_size == 1:
        return rows
    if rows.requires_grad:
        from torch.distributed.nn.functional import all_gather

        return torch.cat(all_gather(rows))
    gathered = [torch.empty_like(rows) for _ in range(world_size)]
    dist.all_gather(gathered, rows.contiguous())
    return torch.cat(gathered)


def take_from_first(values: Tensor) -> None:
    """Take over the values of rank 0, in place.

    Args:
        values (Tensor): Of the same shape and type on each process, on a device that the backend handles.
    """
    if rank_and_world_size()[1] > 1:
        dist.broadcast(values, src=0)


def shared_seed() -> int:
    """Draw a seed below ``2 ** 31`` from torch's global generator; every process gets that of rank 0."""
    seed = [int(torch.randint(2**31, ()))]
    if rank_and_world_size()[1] > 1:
        dist.broadcast_object_list(seed)
    return seed[0]
