"""What is known of the processes before they know of each other."""

from __future__ import annotations

import pytest
import torch.distributed as dist

from lt_plugins.runs.launch import launch_rank


@pytest.mark.parametrize(("launcher", "rank"), [("none", 0), ("pytorch", 3), ("slurm", 5)])
def test_rank(launcher: str, rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On GPUs the process group comes with the runner, so mmengine would call each of them the main process."""
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("SLURM_PROCID", "5")
    assert not dist.is_initialized()
    assert launch_rank(launcher) == rank


def test_rank_without_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    assert launch_rank("pytorch") == 0
