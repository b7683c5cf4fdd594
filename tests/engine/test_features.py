"""The feature pass visits each sample once, in order, on any number of processes, and disturbs nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.utils.data import Dataset

from lt_plugins.engine.features import gather_features, stream_features
from lt_plugins.errors import UserInputError
from tests.gloo import run_gloo
from tests.random_state import random_state_untouched


class Counting(Dataset):
    """Sample ``i`` is an image full of ``i``; ``asked`` are the samples that were read."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.asked: list[int] = []

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.asked.append(index)
        return {"inputs": torch.full((3, 2, 2), float(index)), "data_samples": DataSample(sample_idx=index)}


def double(batch: dict[str, Any]) -> Tensor:
    """Twice the image's value, in two columns of which one is negative; the samples must fit the images."""
    values = torch.stack(batch["inputs"])[:, 0, 0, 0]
    assert [sample.sample_idx for sample in batch["data_samples"]] == values.tolist()
    return torch.stack([2 * values, -2 * values], dim=1)


def expected(positions: list[int]) -> Tensor:
    return torch.tensor([[2.0 * i, -2.0 * i] for i in positions])


@pytest.mark.parametrize("indices", [None, [9, 2, 3, 2], torch.tensor([4]), []])
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_every_sample_once_in_order(indices: Any, batch_size: int) -> None:
    wanted = list(range(10)) if indices is None else [int(i) for i in indices]
    dataset = Counting(10)
    batches = list(stream_features(double, dataset, batch_size=batch_size, indices=indices))
    assert [int(i) for positions, _ in batches for i in positions] == wanted == dataset.asked
    assert all(len(positions) == batch_size for positions, _ in batches[:-1])
    for positions, features in batches:
        assert positions.dtype == torch.int64
        assert torch.equal(features, expected(positions.tolist()))


def test_only_the_batches_that_are_asked_for_are_read() -> None:
    dataset = Counting(10)
    stream = stream_features(double, dataset, batch_size=4)
    assert dataset.asked == []
    next(stream)
    assert len(dataset.asked) == 4
    next(stream)
    assert len(dataset.asked) == 8


def test_no_graph_is_recorded() -> None:
    weight = torch.ones((), requires_grad=True)
    (batch,) = stream_features(lambda batch: double(batch) * weight, Counting(3))
    assert not batch[1].requires_grad
    assert not gather_features(lambda batch: double(batch) * weight, Counting(3)).is_inference()


def test_features_that_do_not_fit_the_batch_are_refused() -> None:
    with pytest.raises(UserInputError, match="extract returned 1 features for a batch of 4 samples"):
        list(stream_features(lambda batch: double(batch)[:1], Counting(5), batch_size=4))


def test_only_the_main_process_on_a_terminal_shows_progress(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shown() -> str:
        list(stream_features(double, Counting(7), batch_size=3, description="looking around"))
        out, err = capsys.readouterr()
        assert out == ""
        return err

    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert shown() == ""
    monkeypatch.setenv("FORCE_COLOR", "1")  # makes rich take any stream for a terminal
    monkeypatch.setenv("COLUMNS", "100")
    assert "looking around" in shown()
    assert "7/7" in shown()
    monkeypatch.setattr("lt_plugins.distributed.rank_and_world_size", lambda: (1, 2))
    assert shown() == ""


@pytest.mark.parametrize("num_workers", [0, 2])
def test_workers_change_nothing_and_the_random_state_stays(num_workers: int) -> None:
    with random_state_untouched():
        gathered = gather_features(double, Counting(9), batch_size=2, num_workers=num_workers)
    assert torch.equal(gathered, expected(list(range(9))))


def test_gathered_rows_are_in_order_of_position() -> None:
    gathered = gather_features(lambda batch: double(batch).half(), Counting(10), batch_size=2, indices=[7, 0, 3, 7, 5])
    assert gathered.dtype == torch.float32
    assert torch.equal(gathered, expected([0, 3, 5, 7]))


def test_nothing_to_gather_is_refused() -> None:
    with pytest.raises(UserInputError, match="no sample"):
        gather_features(double, Counting(3), indices=[])


def on_one_rank(size: int) -> dict[str, Any]:
    dataset = Counting(size)
    positions = [p for p, _ in stream_features(double, dataset, batch_size=2)]
    return {
        "asked": list(dataset.asked),
        "positions": torch.cat(positions).tolist() if positions else [],
        "all": gather_features(double, dataset, batch_size=2),
        "local": gather_features(lambda batch: double(batch)[:, None].expand(-1, 3, -1), dataset, indices=[0]),
    }


@pytest.mark.parametrize("size", [7, 1])
def test_two_processes_share_the_samples_and_gather_what_one_gathers(size: int, tmp_path: Path) -> None:
    ranks = run_gloo(on_one_rank, size, folder=tmp_path)
    assert ranks[0]["positions"] == list(range(0, size, 2)) == ranks[0]["asked"]
    assert ranks[1]["positions"] == list(range(1, size, 2)) == ranks[1]["asked"]
    for rank in ranks:
        assert torch.equal(rank["all"], expected(list(range(size))))
        assert torch.equal(rank["local"], torch.zeros(1, 3, 2))
