"""Numbers that are not finite are found, named and refused."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lt_plugins.checkpoints.backbone import read_backbone
from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.checkpoints.finite import all_finite, check_finite_checkpoint, describe_non_finite, find_non_finite
from lt_plugins.errors import UserInputError

FINITE = {
    "largest": torch.full((3, 2), torch.finfo(torch.float32).max),
    "largest_half": torch.full((70000,), torch.finfo(torch.float16).max, dtype=torch.float16),
    "double": torch.full((2,), 1e300, dtype=torch.float64),
    "integers": torch.arange(4),
    "flags": torch.tensor([True, False]),
    "empty": torch.zeros(0),
    "number": torch.tensor(0.5),
    "complex": torch.tensor([1 + 2j]),
    "eight_bits": torch.ones(3).to(torch.float8_e4m3fn),
    "sparse": torch.eye(3).to_sparse(),
}
BAD = {
    "nan": (torch.tensor([1.0, math.nan, math.nan]), "nan (2 of 3 values are nan)"),
    "inf": (torch.tensor([math.inf, 1.0]), "inf (1 of 2 values are infinite)"),
    "minus": (torch.tensor([[0.0], [-math.inf]]), "minus (1 of 2 values are infinite)"),
    "half": (torch.tensor([math.nan], dtype=torch.float16), "half (1 of 1 values are nan)"),
    "brain": (torch.tensor(math.inf, dtype=torch.bfloat16), "brain (1 of 1 values are infinite)"),
    "complex": (torch.tensor([complex(1, math.nan)]), "complex (1 of 2 values are nan)"),
    "sparse": (torch.diag(torch.tensor([1.0, math.nan])).to_sparse(), "sparse (1 of 2 values are nan)"),
    "eight_bits": (torch.tensor([math.nan]).to(torch.float8_e4m3fn), "eight_bits (1 of 1 values are nan)"),
}


def test_what_is_finite_passes() -> None:
    assert all_finite(FINITE.values())
    assert find_non_finite(FINITE) == []
    assert all_finite([])
    check_finite_checkpoint({"state_dict": FINITE}, "a.pth")


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_is_named(name: str) -> None:
    tensor, text = BAD[name]
    assert not all_finite([*FINITE.values(), tensor])
    assert find_non_finite({**FINITE, name: tensor}) == [text]
    with pytest.raises(UserInputError, match=r"a\.pth holds values that are not finite"):
        check_finite_checkpoint({"state_dict": {"x": tensor}}, "a.pth")


def test_the_description_is_short() -> None:
    found = find_non_finite({f"layer{index}": torch.tensor([math.nan]) for index in range(500)})
    assert describe_non_finite(found).endswith("layer2 (1 of 1 values are nan) and 497 more tensors")


def state() -> dict[str, Any]:
    """A checkpoint after a step of Adam."""
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    optimiser = torch.optim.Adam(model.parameters())
    model(torch.randn(4, 2)).square().sum().backward()
    optimiser.step()
    return copy.deepcopy({"state_dict": dict(model.state_dict()), "optimizer": optimiser.state_dict()})


def poison(tensor: Tensor) -> None:
    tensor.view(-1)[0] = math.nan


PLACES = {
    r"0\.weight": lambda saved: poison(saved["state_dict"]["0.weight"]),
    r"1\.running_var": lambda saved: poison(saved["state_dict"]["1.running_var"]),
    r"optimizer\.state\.1\.exp_avg_sq": lambda saved: poison(saved["optimizer"]["state"][1]["exp_avg_sq"]),
    r"optimizer\.param_groups\.0\.lr=inf": lambda saved: saved["optimizer"]["param_groups"][0].update(lr=math.inf),
    r"ema_state_dict\.average": lambda saved: saved.update(ema_state_dict={"average": torch.tensor([math.nan])}),
}


@pytest.mark.parametrize("place", PLACES)
def test_every_part_of_a_checkpoint_counts(place: str, tmp_path: Path) -> None:
    saved = state()
    saved["message_hub"] = {"loss": torch.tensor(math.nan)}  # of a step that mixed precision skipped
    torch.save(saved, tmp_path / "a.pth")
    assert load_checkpoint(tmp_path / "a.pth").keys() == saved.keys()
    PLACES[place](saved)
    torch.save(saved, tmp_path / "a.pth")
    with pytest.raises(UserInputError, match=rf"a\.pth holds .*{place}.*earlier checkpoint"):
        load_checkpoint(tmp_path / "a.pth")


def test_bare_weights_are_refused_too(tmp_path: Path) -> None:
    weights = {"conv1.weight": torch.tensor([math.nan])}
    torch.save(weights, tmp_path / "bare.pth")
    with pytest.raises(UserInputError, match=r"bare\.pth holds .*conv1\.weight"):
        read_backbone(tmp_path / "bare.pth")
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file(weights, tmp_path / "bare.safetensors")
    with pytest.raises(UserInputError, match=r"bare\.safetensors holds .*conv1\.weight"):
        read_backbone(tmp_path / "bare.safetensors")
