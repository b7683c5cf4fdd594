"""Runs a function in the processes of one gloo group."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from tests.fork_server import CONTEXT


def run_gloo(function: Callable[..., Any], *arguments: Any, folder: Path, world_size: int = 2) -> list[Any]:
    """Call ``function(*arguments)`` on every rank.

    Args:
        function: A function of a module; what it returns must be readable by ``torch.load``.
        *arguments: Handed to it.
        folder: For the files that the processes meet through.
        world_size: Number of processes.

    Returns:
        What the ranks returned, in order of rank.
    """
    folder.mkdir(parents=True, exist_ok=True)
    processes = [
        CONTEXT.Process(target=_run, args=(rank, world_size, folder, function, arguments)) for rank in range(world_size)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(180)
        if process.is_alive():
            process.kill()
    assert [process.exitcode for process in processes] == [0] * world_size
    return [torch.load(folder / f"{rank}.pth") for rank in range(world_size)]


def _run(rank: int, world_size: int, folder: Path, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=world_size)
    torch.save(function(*arguments), folder / f"{rank}.pth")
    dist.destroy_process_group()
