"""Sums and seeds that processes share, with and without a process group."""

from __future__ import annotations

from pathlib import Path

import torch

from lt_plugins.distributed import gather_rows, rank_and_world_size, shared_seed, sum_over_processes
from tests.gloo import run_gloo


def use_all() -> tuple[tuple[int, int], list[float], int]:
    rank, world_size = rank_and_world_size()
    torch.manual_seed(rank)
    values = torch.tensor([1.0, 10.0 * rank])
    sum_over_processes(values)
    return (rank, world_size), values.tolist(), shared_seed()


def gather() -> tuple[list[int], torch.Tensor]:
    rank, _ = rank_and_world_size()
    rows = torch.full((2, 1), rank + 1.0).requires_grad_()
    gathered = gather_rows(rows)
    (gathered * torch.arange(4.0)[:, None]).sum().backward()
    assert rows.grad is not None
    assert torch.equal(gather_rows(rows.detach()), gathered)
    return gather_rows(torch.tensor([rank, 7])).tolist(), torch.cat([gathered.detach(), rows.grad]).flatten()


def test_rows_of_all_processes_with_gradient(tmp_path: Path) -> None:
    found = run_gloo(gather, folder=tmp_path)
    for rank, (integers, (*rows, first, second)) in enumerate(found):
        assert integers == [0, 7, 1, 7]
        assert rows == [1, 1, 2, 2]
        # Both processes' losses depend on the rows, with the factors 0 to 3 of their positions.
        assert [first, second] == [4 * rank, 4 * rank + 2]


def test_one_process() -> None:
    torch.manual_seed(1)
    expected = int(torch.randint(2**31, ()))
    torch.manual_seed(1)
    values = torch.tensor([1.0, 2.0])
    sum_over_processes(values)
    assert (rank_and_world_size(), values.tolist(), shared_seed()) == ((0, 1), [1.0, 2.0], expected)


def test_two_processes(tmp_path: Path) -> None:
    (first, sums, seed), (second, other_sums, other_seed) = run_gloo(use_all, folder=tmp_path)
    assert (first, second) == ((0, 2), (1, 2))
    assert sums == other_sums == [2.0, 10.0]
    assert seed == other_seed
    torch.manual_seed(0)
    assert seed == int(torch.randint(2**31, ())), "that of rank 0"
