"""Channels-last training gives what contiguous training gives, resumes exactly, and leaves the state as it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook, Hook
from mmengine.model import MMDistributedDataParallel
from torch import nn

from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.engine.hooks import MemoryFormatHook
from lt_plugins.runs.config import read_stages
from lt_plugins.runs.quiet_runner import QuietRunner
from tests.gloo import run_gloo
from tests.tool_process import ROOT

SMALL: dict[str, Any] = {
    "model.backbone.depth": 20,
    "train_dataloader.dataset.max_count": 16,
    "train_dataloader.dataset.imbalance_factor": 8,
    "train_dataloader.batch_size": 24,
    "log_level": "ERROR",
    "train_cfg.max_epochs": 2,
    "param_scheduler": [],
    "optim_wrapper.optimizer.lr": 1e-4,  # a network that moves fast amplifies what is rounded
    **dict.fromkeys(["val_cfg", "val_dataloader", "val_evaluator"]),
}
CONFIGS: dict[str, dict[str, Any]] = {
    "ce/ce_r32_digits.py": {},
    "paco/paco_r32_digits.py": {"model.queue_size": 48},
    "lpa/lpa_r32_digits.py": {"model.queue_size": 48, "custom_hooks.0.start": 1},
    "lcreg/lcreg_r32_digits.py:stage1": {},
}


class Losses(Hook):
    """The loss of each step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.values.append(outputs["loss"].item())


def make_runner(spec: str, work_dir: Path, channels_last: bool | None, **overrides: Any) -> QuietRunner:
    cfg = read_stages(str(ROOT / "configs" / spec))[0]
    format_of = {"default_hooks.memory_format.channels_last": channels_last}
    cfg.merge_from_dict({**SMALL, **CONFIGS[spec], **format_of, "work_dir": str(work_dir), **overrides})
    cfg.experiment_name = f"{work_dir.parent.name}_{work_dir.name}_{id(cfg)}"
    return QuietRunner.from_cfg(cfg)


def train(spec: str, work_dir: Path, channels_last: bool | None, hook: Hook, **overrides: Any) -> QuietRunner:
    runner = make_runner(spec, work_dir, channels_last, **overrides)
    runner.register_hook(hook)
    runner.train()
    return runner


def kernels(model: nn.Module) -> Iterator[torch.Tensor]:
    """The weights of 3x3 convolutions; of a 1x1 one both orders are the same."""
    return (m.weight for m in model.modules() if isinstance(m, nn.Conv2d) and m.weight.shape[-1] > 1)


def is_channels_last(tensor: torch.Tensor) -> bool:
    return tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()


@pytest.mark.parametrize("spec", CONFIGS)
def test_both_orders_train_alike(spec: str, tmp_path: Path) -> None:
    losses = Losses(), Losses()
    plain = train(spec, tmp_path / "plain", False, losses[0])
    other = train(spec, tmp_path / "last", None, losses[1])
    assert all(weight.is_contiguous() for weight in kernels(plain.model))
    weights = list(kernels(other.model))
    assert len(weights) == 19 * (2 if "key_encoder" in dict(other.model.named_children()) else 1)
    assert all(map(is_channels_last, weights))
    assert losses[1].values == pytest.approx(losses[0].values, rel=1e-3)
    states = [load_checkpoint(tmp_path / name / "epoch_2.pth")["state_dict"] for name in ("plain", "last")]
    assert [(key, value.shape, value.dtype) for key, value in states[0].items()] == [
        (key, value.shape, value.dtype) for key, value in states[1].items()
    ]
    for key in [key for key in states[0] if key.endswith("weight")]:
        scale = float(states[0][key].abs().max())
        torch.testing.assert_close(states[1][key], states[0][key], rtol=1e-2, atol=5e-3 * scale, msg=key)


class Average(EMAHook):
    """An average of the weights that is also taken here, by its formula."""

    expected: list[torch.Tensor]

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        weights = [weight.detach().clone() for weight in kernels(runner.model)]
        self.expected = (
            [w.lerp(e, 0.5) for w, e in zip(weights, self.expected, strict=True)] if runner.iter else weights
        )


@pytest.mark.parametrize("update_buffers", [False, True])
def test_averaged_copies_follow(update_buffers: bool, tmp_path: Path) -> None:
    hook = Average(momentum=0.5, update_buffers=update_buffers)
    train("ce/ce_r32_digits.py", tmp_path, True, hook)
    averages = list(kernels(hook.ema_model.module))
    assert all(map(is_channels_last, averages))
    for average, expected in zip(averages, hook.expected, strict=True):
        torch.testing.assert_close(average, expected)


def test_a_run_in_the_other_order_is_resumed_in_its_own(tmp_path: Path) -> None:
    """The momentum of a contiguous run is laid out like the weights that it goes on with."""
    spec = "ce/ce_r32_digits.py"
    train(spec, tmp_path / "run", False, Losses(), **{"train_cfg.max_epochs": 1})

    class Strides(Hook):
        def before_train_epoch(self, runner) -> None:
            state = runner.optim_wrapper.optimizer.state
            assert state and all(value["momentum_buffer"].stride() == p.stride() for p, value in state.items())
            assert any(is_channels_last(value["momentum_buffer"]) for value in state.values())

    resumed = {"resume": True, "load_from": str(tmp_path / "run" / "epoch_1.pth"), "accept_changes": True}
    train(spec, tmp_path / "run", True, Strides(), **resumed)
    again = {**resumed, "load_from": str(tmp_path / "run" / "epoch_2.pth"), "train_cfg.max_epochs": 3}
    runner = train(spec, tmp_path / "run", False, Losses(), **again)
    state = runner.optim_wrapper.optimizer.state
    assert all(value["momentum_buffer"].is_contiguous() for value in state.values())


def test_testing_computes_in_it_too(tmp_path: Path) -> None:
    overrides = {"test_dataloader.dataset.indices": 20, "default_hooks.class_distribution": None}
    runner = make_runner("ce/ce_r32_digits.py", tmp_path, None, **overrides)
    runner.test()
    assert all(map(is_channels_last, kernels(runner.model)))


def two_ranks(work_dir: Path) -> list[dict[str, Any]]:
    """Gradients of the first step, which the momentum is, in both orders."""
    os.environ["LOCAL_RANK"] = str(torch.distributed.get_rank())  # as torchrun does; mmengine reads it
    wrapper = {"type": "MMDistributedDataParallel", "broadcast_buffers": False, "find_unused_parameters": False}
    ends = []
    for channels_last in (False, True):
        folder = work_dir / str(channels_last)
        parallel: dict[str, Any] = {"launcher": "pytorch", "model_wrapper_cfg": {**wrapper, "device_ids": None}}
        parallel |= {"train_cfg.max_epochs": 1, "train_dataloader.batch_size": 64}
        runner = train("ce/ce_r32_digits.py", folder, channels_last, Losses(), **parallel)
        assert isinstance(runner.model, MMDistributedDataParallel)
        assert all(is_channels_last(weight) == channels_last for weight in kernels(runner.model))
        state = runner.optim_wrapper.optimizer.state
        ends.append({name: state[value]["momentum_buffer"] for name, value in runner.model.module.named_parameters()})
    return ends


def test_several_processes_sum_the_right_gradients(tmp_path: Path) -> None:
    """DistributedDataParallel mixes up the first ones if the order changes under it."""
    first, second = run_gloo(two_ranks, tmp_path / "run", folder=tmp_path)
    for name, expected in first[0].items():
        assert torch.equal(first[1][name], second[1][name]), "they step together"
        # Batch norms amplify what is rounded; mixed-up entries would have nothing in common.
        cosine = torch.cosine_similarity(first[1][name].flatten(), expected.flatten(), dim=0)
        assert cosine > 0.99, name


def wrapped_by_hand(work_dir: Path) -> bool:
    """Whether a model is converted that was wrapped in the other order."""
    runner = make_runner("ce/ce_r32_digits.py", work_dir, True)
    runner.model = MMDistributedDataParallel(runner.model, broadcast_buffers=False)
    runner.train()
    return any(map(is_channels_last, kernels(runner.model)))


def test_a_model_that_was_wrapped_before_keeps_its_order(tmp_path: Path) -> None:
    assert run_gloo(wrapped_by_hand, tmp_path / "run", folder=tmp_path) == [False, False]


@pytest.mark.parametrize(
    ("device", "amp", "setting", "expected"),
    [
        ("cpu", False, None, True),
        ("cpu", False, False, False),
        ("meta", False, None, False),
        ("meta", True, None, True),
        ("meta", True, False, False),
        ("meta", False, True, True),
    ],
)
def test_the_choice(device: str, amp: bool, setting: bool | None, expected: bool) -> None:
    """A device that is no CPU stands in for a GPU, of which there may be none."""
    cfg = Config({"optim_wrapper": {"type": "AmpOptimWrapper" if amp else "OptimWrapper"}})
    runner: Any = SimpleNamespace(model=nn.Conv2d(3, 4, 3, device=device), cfg=cfg)
    chosen = MemoryFormatHook(setting).choose(runner)
    assert chosen == (torch.channels_last if expected else torch.contiguous_format)
