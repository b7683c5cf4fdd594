"""A compiled backbone computes what it did, for batches of any size, and leaves no trace in the state."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter

from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.models.backbones import CIFARResNet
from lt_plugins.runs.hooks.compile_hook import MAX_VARIANTS, find_backbones, find_compiler_problem
from tests.engine.hooks.test_memory_format_hook import Losses, make_runner, train
from tests.gloo import run_gloo
from tests.tool_process import ROOT, run_tool

CPU = torch.device("cpu")
PACO = "paco/paco_r32_digits.py"
EAGER = {"default_hooks.compile": {"type": "CompileHook", "backend": "eager"}}  # traces, and needs no compiler


@pytest.fixture(autouse=True)
def _nothing_compiled() -> Iterator[None]:
    yield
    torch.compiler.reset()


def images(size: int) -> Tensor:
    return torch.randn(size, 3, 16, 16, generator=torch.Generator().manual_seed(size))


def test_backbones_are_found(tmp_path: Path) -> None:
    model = make_runner(PACO, tmp_path, None).model
    assert find_backbones(model) == {
        "backbone": model.backbone,
        "key_encoder.backbone": model.key_encoder["backbone"],
    }
    assert list(find_backbones(nn.ModuleDict({"backbone": nn.ModuleDict({"backbone": nn.ReLU()})}))) == ["backbone"]


def test_training_of_compiled_encoders(tmp_path: Path) -> None:
    """Steps, keys and the pass of a clustering; the last batches of an epoch are smaller."""
    spec = "lpa/lpa_r32_digits.py"
    losses = Losses(), Losses()
    plain = train(spec, tmp_path / "plain", None, losses[0])
    compiled = train(spec, tmp_path / "compiled", None, losses[1], **EAGER)
    assert all(module._compiled_call_impl is not None for module in find_backbones(compiled.model).values())
    assert losses[1].values == pytest.approx(losses[0].values, rel=1e-5)
    states = [load_checkpoint(tmp_path / name / "epoch_2.pth")["state_dict"] for name in ("plain", "compiled")]
    assert list(states[0]) == list(states[1])
    assert plain.model.head.has_attributes and compiled.model.head.has_attributes


def test_resumed_with_and_without(tmp_path: Path) -> None:
    spec = "ce/ce_r32_digits.py"
    run = tmp_path / "run"
    train(spec, run, None, Losses(), **{"train_cfg.max_epochs": 1})
    for epoch, options in ((1, EAGER), (2, {})):
        resumed = {"resume": True, "load_from": str(run / f"epoch_{epoch}.pth"), "train_cfg.max_epochs": epoch + 1}
        train(spec, run, None, Losses(), **resumed, **options)
    assert load_checkpoint(run / "epoch_2.pth")["meta"]["run_record"]["environment"]["compile"] is True
    assert load_checkpoint(run / "epoch_3.pth")["meta"]["run_record"]["environment"]["compile"] is False


def test_batches_of_many_sizes_are_compiled_twice() -> None:
    """Once for the first size and once for any, in each mode, however many sizes come."""
    torch.compiler.reset()
    counter = CompileCounter()
    model = CIFARResNet(20)
    model.init_weights()
    expected = copy.deepcopy(model)
    model.compile(backend=counter)
    for is_training in (True, False):
        model.train(is_training), expected.train(is_training)
        before = counter.frame_count
        for size in (8, 5, 3, 7, 6, 8):
            with torch.inference_mode(not is_training):
                torch.testing.assert_close(model(images(size))[0], expected(images(size))[0])
        assert counter.frame_count - before <= 2
    assert counter.frame_count <= MAX_VARIANTS


def test_copies_and_files_hold_nothing_compiled() -> None:
    model = CIFARResNet(20)
    names = list(model.state_dict())
    model.compile(backend="eager")
    model(images(4))
    assert list(model.state_dict()) == names
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin._compiled_call_impl is None
        assert torch.equal(twin.eval()(images(2))[0], model.eval()(images(2))[0])


def two_ranks(work_dir: Path) -> list[float]:
    runner = make_runner("ce/ce_r32_digits.py", work_dir, None, **EAGER)
    runner.model = MMDistributedDataParallel(runner.model, broadcast_buffers=False)
    losses = Losses()
    runner.register_hook(losses)
    runner.train()
    assert runner.model.module.backbone._compiled_call_impl is not None
    return [*losses.values, float(runner.model.module.head.fc.weight.sum())]


def test_several_processes(tmp_path: Path) -> None:
    first, second = run_gloo(two_ranks, tmp_path / "run", folder=tmp_path)
    assert first[-1] == second[-1], "they step together"


def test_without_a_compiler_training_goes_on(tmp_path: Path) -> None:
    env = {"PATH": "/nowhere", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    options = ["train_cfg.max_epochs=1", "model.backbone.depth=20", "train_dataloader.dataset.max_count=8"]
    done = run_tool(
        "train.py", ROOT / "configs/ce/ce_r32_digits.py", "--work-dir", tmp_path / "run", "--compile", "--no-validate",
        "--cfg-options", *options, "train_dataloader.dataset.imbalance_factor=8", logs=tmp_path, env=env,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    [line] = [line for line in done.output.splitlines() if "nothing is compiled" in line]
    assert "No working C++ compiler" in line
    assert (tmp_path / "run" / "epoch_1.pth").exists()


@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="there is no C++ compiler")
def test_machine_code_computes_the_same() -> None:
    torch.compiler.reset()
    if (problem := find_compiler_problem(CPU, "inductor")) is not None:
        pytest.skip(f"the compiler does not work: {problem}")
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3, 2))
    compiled = copy.deepcopy(plain)
    compiled.compile()
    for size in (6, 4):
        outputs = [model(images(size)) for model in (plain, compiled)]
        torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-4, atol=1e-5)
        for output in outputs:
            output.square().mean().backward()
    for expected, found in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-4, atol=1e-5)
