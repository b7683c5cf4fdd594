"""Sums and seeds that processes share, with and without a process group."""

from __future__ import annotations

from pathlib import Path

import torch

from lt_plugins.distributed import rank_and_world_size, shared_seed, sum_over_processes
from tests.gloo import run_gloo


def use_all() -> tuple[tuple[int, int], list[float], int]:
    rank, world_size = rank_and_world_size()
    torch.manual_seed(rank)
    values = torch.tensor([1.0, 10.0 * rank])
    sum_over_processes(values)
    return (rank, world_size), values.tolist(), shared_seed()


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
