"""What --amp makes of the optimiser of a config, and whether a loss scaling takes part."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper
from torch import nn

from lt_plugins.errors import UserInputError
from lt_plugins.runs.mixed_precision import FIRST_WITH_BF16, Precision, use_mixed_precision
from lt_plugins.runs.resumed_schedule import _merge_optimiser

SGD = {"optimizer": {"type": "SGD", "lr": 0.1}}
BF16 = {"dtype": "bfloat16", "loss_scale": {"enabled": False}}
FP16 = {"loss_scale": "dynamic"}


def on_gpu(capability: tuple[int, int], patch: pytest.MonkeyPatch) -> None:
    """Stand-in for a GPU, which may be missing here."""
    patch.setattr(torch.cuda, "is_available", lambda: True)
    patch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    patch.setattr(torch.cuda, "get_device_name", lambda: "Tesla V100")


@pytest.mark.parametrize(
    ("precision", "capability", "own", "expected"),
    [
        ("auto", FIRST_WITH_BF16, {}, BF16),
        ("auto", (9, 0), {}, BF16),
        ("auto", (7, 0), {}, FP16),
        ("bf16", (9, 0), {}, BF16),
        ("fp16", (9, 0), {}, FP16),
        ("auto", (9, 0), {"dtype": "float16"}, {"dtype": "float16", **FP16}),
        ("fp16", (9, 0), {"dtype": "bfloat16"}, {"dtype": "float16", **FP16}),
        ("fp16", (9, 0), {"loss_scale": 512.0}, {"loss_scale": 512.0}),
    ],
)
def test_settings(
    precision: Precision, capability: tuple[int, int], own: dict, expected: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_gpu(capability, monkeypatch)
    cfg = Config({"optim_wrapper": {**SGD, **own}})
    use_mixed_precision(cfg, precision)
    assert cfg.optim_wrapper.to_dict() == {"type": "AmpOptimWrapper", **SGD, **expected}


def test_a_gpu_without_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpu((7, 0), monkeypatch)
    with pytest.raises(UserInputError, match=r"--amp bf16: Tesla V100 does not compute in bfloat16; use --amp fp16\."):
        use_mixed_precision(Config({"optim_wrapper": dict(SGD)}), "bf16")


def wrapper_of(precision: Precision, monkeypatch: pytest.MonkeyPatch) -> tuple[AmpOptimWrapper, nn.Parameter]:
    """The wrapper that training builds, of one parameter on the CPU."""
    cfg: Any = Config({"optim_wrapper": dict(SGD)})
    with monkeypatch.context() as patch:
        on_gpu((9, 0), patch)
        use_mixed_precision(cfg, precision)
        module = "mmengine.optim.optimizer.amp_optimizer_wrapper"
        patch.setattr(f"{module}.is_cuda_available", lambda: True)
        patch.setattr(f"{module}.GradScaler", partial(torch.amp.GradScaler, device="cpu"))
        weight = nn.Parameter(torch.ones(1))
        settings = {key: value for key, value in cfg.optim_wrapper.items() if key not in ("type", "optimizer")}
        return AmpOptimWrapper(optimizer=torch.optim.SGD([weight], lr=0.1), **settings), weight


def test_bfloat16_steps_without_a_loss_scaling(monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper, weight = wrapper_of("bf16", monkeypatch)
    assert not wrapper.loss_scaler.is_enabled()
    assert wrapper.cast_dtype == torch.bfloat16
    wrapper.update_params((3 * weight).sum())
    assert weight.item() == pytest.approx(1 - 0.1 * 3)
    wrapper.load_state_dict(wrapper.state_dict())


def test_a_bfloat16_run_goes_on_in_float16(monkeypatch: pytest.MonkeyPatch) -> None:
    saved = wrapper_of("bf16", monkeypatch)[0].state_dict()
    assert saved["loss_scaler"] == {}
    wrapper, _ = wrapper_of("fp16", monkeypatch)
    assert _merge_optimiser(wrapper, saved)
    wrapper.load_state_dict(saved)
    assert wrapper.loss_scaler.is_enabled()
