"""Losses that are fed with float64 compute in float64: no constant, buffer or cast rounds anything on the way."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from mmpretrain.registry import MODELS
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests import battery

HAS_CENTRES = ("CenterLoss", "CentroidLoss", "ProCoLoss", "SwappedPredictionLoss", "TSCLoss")
# The draw of positives decides nothing but which they are.
DRAWS = dict.fromkeys(("KCLLoss", "TSCLoss"), ("aten.rand.", "aten.masked_fill_.", "aten.topk."))


class RoundedResults(TorchDispatchMode):
    """Collects the operations that make float32 or smaller numbers."""

    def __init__(self, allowed: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.allowed = allowed
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        rounded = [
            leaf
            for leaf in tree_leaves(out)
            if isinstance(leaf, torch.Tensor) and leaf.is_floating_point() and leaf.dtype != torch.float64
        ]
        if rounded and not str(func).startswith(self.allowed):
            self.found.append(str(func))
        return out


def _is_checked(name: str) -> bool:
    return name.endswith(("Loss", "Head", "Positives"))


@pytest.mark.parametrize("name", sorted(filter(_is_checked, battery.MODULES)))
def test_nothing_is_rounded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss as it is built; what has layers or centres, which are float32, after ``double()``."""
    entry = battery.MODULES[name]
    module = MODELS.build({"type": name, **copy.deepcopy({**entry.required, **entry.small})})
    entry.prepare(module)
    module = module.double() if name.endswith("Head") or name in HAS_CENTRES else module
    noise = battery.noise
    monkeypatch.setattr(battery, "noise", lambda *shape, seed=0: noise(*shape, seed=seed).double())
    labels = torch.tensor([0, 1, 3, 3, 0, 1])
    with RoundedResults(("aten.randn.", "aten.rand_like.", *DRAWS.get(name, ()))) as rounded:
        # Experts answer one by one in training only.
        fed = entry.step(module.train(name == "MultiExpertHead"), labels)
    assert fed.loss.dtype == torch.float64
    assert [operation for operation in rounded.found if not operation.startswith("aten.detach")] == []


def test_the_check_finds_what_it_looks_for() -> None:
    value = torch.randn(3, dtype=torch.float64)
    with RoundedResults() as rounded:
        _ = value / torch.tensor([True, True, False]).sum().mul(0.3)
    assert len(rounded.found) == 1
