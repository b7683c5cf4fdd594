"""A training that diverges stops at once, says where, and keeps what was good."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS
from mmengine.runner import Runner

from lt_plugins.checkpoints.checkpoint import find_last_checkpoint, load_checkpoint
from lt_plugins.checkpoints.finite import check_finite_checkpoint
from lt_plugins.engine.hooks import DeferredInfoHook, FiniteTrainingHook
from lt_plugins.engine.hooks.finite_training_hook import explain_failure
from lt_plugins.errors import UserInputError
from lt_plugins.runs.hooks import SafeCheckpointHook
from tests.engine.hooks.poison_hook import PoisonHook
from tests.engine.test_distributed import free_port
from tests.small_runs import MakeRunner
from tests.tool_process import ROOT, run_ranks

STEPS = 9  # an epoch
SMALL: dict[str, Any] = {
    "train_dataloader.batch_size": 4,
    "train_cfg.max_epochs": 3,
    "default_hooks.checkpoint.max_keep_ckpts": 1,
    **dict.fromkeys(["val_cfg", "val_dataloader", "val_evaluator"]),
}


def train(make: MakeRunner, *poisons: PoisonHook, **overrides: Any) -> Runner:
    """Train on a few digits while numbers break."""
    runner = make(**{**SMALL, **overrides})
    for poison in poisons:
        runner.register_hook(poison)
    runner.train()
    assert len(runner.train_dataloader) == STEPS
    return runner


@pytest.mark.parametrize(
    ("target", "value", "first", "message"),
    [
        ("loss", math.nan, 12, "loss is nan in epoch 2, iteration 4"),
        ("loss", math.inf, 9, "loss is inf in epoch 2, iteration 1"),
        # The step that follows a broken weight makes a loss of it.
        ("backbone.conv1.weight", math.nan, 12, "loss is nan in epoch 2, iteration 4"),
        # The loss may stay finite: a class is never predicted any more.
        ("head.fc.bias", -math.inf, 17, r"not finite after epoch 2: head\.fc\.bias \(1 of 10 values are nan\)"),
        # The batch normalises in training: no loss tells of a broken statistic.
        (
            "backbone.bn1.running_var",
            math.nan,
            9,
            r"not finite after epoch 2, iteration 1: backbone\.bn1\.running_var \(1 of 16 values are nan\)",
        ),
        ("backbone.bn1.running_mean", math.inf, 17, r"not finite after epoch 2: backbone\.bn1\.running_mean"),
        ("momentum", math.nan, 17, r"momentum_buffer of backbone\.conv1\.weight in the optimiser \(1 of"),
        ("lr", math.nan, 17, "not finite after epoch 2: backbone"),
    ],
)  # fmt: skip
def test_stops_names_the_place_and_keeps_the_last_checkpoint(
    target: str, value: float, first: int, message: str, make_runner: MakeRunner, tmp_path: Path
) -> None:
    with pytest.raises(
        UserInputError, match=rf"(?s)diverged: .*{message}.*epoch_1\.pth is the last good.*learning rate"
    ):
        train(make_runner, PoisonHook(target, first, value=value))
    folder = tmp_path / "run"
    assert [path.name for path in folder.glob("*.pth")] == ["epoch_1.pth"]
    last = find_last_checkpoint(folder)
    assert last == str(folder / "epoch_1.pth")
    resumed = train(make_runner, resume=True, load_from=last)
    assert resumed.epoch == 3
    check_finite_checkpoint(load_checkpoint(folder / "epoch_3.pth"), "epoch_3.pth")


def test_a_good_run_is_left_alone(make_runner: MakeRunner, tmp_path: Path) -> None:
    watched = train(make_runner).model.state_dict()
    alone = make_runner(**SMALL, work_dir=str(tmp_path / "alone"))
    alone._hooks = [hook for hook in alone.hooks if not isinstance(hook, FiniteTrainingHook)]
    alone.train()
    for name, value in alone.model.state_dict().items():
        assert torch.equal(value, watched[name]), name


def test_no_step_asks_the_device(make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks neither the hook nor the log reads a tensor."""
    runner = train(make_runner, **scaled())
    hook = next(hook for hook in runner.hooks if isinstance(hook, FiniteTrainingHook))
    info = next(hook for hook in runner.hooks if isinstance(hook, DeferredInfoHook))
    assert (runner.iter + 1) % hook.interval
    for name in ("item", "__bool__", "__float__", "cpu", "tolist"):
        monkeypatch.setattr(torch.Tensor, name, lambda *_: pytest.fail("a synchronisation"))
    for each in (info, hook):
        each.after_train_iter(runner, 0, outputs={"loss": torch.tensor(1.0)})


def scaled(**options: Any) -> dict[str, Any]:
    """Overrides for loss scaling."""
    return {"optim_wrapper.type": "ScaledOptimWrapper", **{f"optim_wrapper.{key}": o for key, o in options.items()}}


def test_steps_that_loss_scaling_skips_are_allowed(make_runner: MakeRunner) -> None:
    # 2^127 overflows until it has been halved some ten times; then a batch overflows in its forward pass.
    runner = train(
        make_runner,
        PoisonHook("loss", 20, 22),
        PoisonHook("backbone.bn1.running_var", 21, value=math.inf),
        **scaled(init_scale=2.0**127),
    )
    assert runner.iter == 3 * STEPS
    assert float(runner.optim_wrapper.loss_scaler.get_scale()) < 2.0**124
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())


def test_a_step_of_a_broken_loss_that_was_not_skipped_stops(make_runner: MakeRunner) -> None:
    # The scaler looks at gradients; those of a constant are zero.
    class Constant(PoisonHook):
        def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
            if runner.iter in self.iterations:
                runner.model.loss = lambda *_: {
                    "loss": sum(parameter.sum() * 0 for parameter in runner.model.parameters()) + math.inf
                }

    with pytest.raises(UserInputError, match="loss is inf in epoch 1, iteration 4"):
        train(make_runner, Constant("", 3), **scaled())


def test_endless_skipping_stops(make_runner: MakeRunner) -> None:
    options = scaled(accumulative_counts=2, backoff_factor=0.9999, init_scale=2.0**127)
    # Steps are due after iterations 2, 4, 6, 8, and 9, which ends the epoch.
    message = r"loss scaling has skipped 5 steps in a row.*in epoch 1, iteration 9;.*half precision that overflows"
    with pytest.raises(UserInputError, match=message):
        train(make_runner, PoisonHook("loss", 0, 99), **options, **{"default_hooks.finite.max_skipped_steps": 5})


def test_a_checkpoint_that_is_not_finite_is_never_written(make_runner: MakeRunner, tmp_path: Path) -> None:
    runner = train(make_runner, **{"train_cfg.max_epochs": 1})
    before = (tmp_path / "run" / "epoch_1.pth").read_bytes()
    hook = next(hook for hook in runner.hooks if isinstance(hook, SafeCheckpointHook))
    runner.model.head.fc.bias.data[0] = math.nan
    with pytest.raises(UserInputError, match=r"was to be written holds .*head\.fc\.bias"):
        hook._save_checkpoint_with_step(runner, 2, {})
    assert [path.name for path in (tmp_path / "run").glob("*.pth*")] == ["epoch_1.pth"]
    assert (tmp_path / "run" / "epoch_1.pth").read_bytes() == before


@pytest.mark.parametrize("purpose", ["resume", "test", "initialise"])
def test_checkpoints_of_a_diverged_training_are_refused(purpose: str, make_runner: MakeRunner, tmp_path: Path) -> None:
    torch.save({"state_dict": {"head.fc.bias": torch.tensor([math.nan])}, "meta": {}}, tmp_path / "bad.pth")
    runner = make_runner(load_from=str(tmp_path / "bad.pth"), resume=purpose == "resume")
    with pytest.raises(UserInputError, match=r"bad\.pth holds .*head\.fc\.bias \(1 of 1 values are nan\)"):
        runner.test() if purpose == "test" else runner.train()


@METRICS.register_module(force=True)
class CountSamples(BaseMetric):
    """A metric of somebody else, which does not look at scores."""

    def process(self, data_batch: Any, data_samples: Any) -> None:
        """Count."""
        self.results.append(len(data_samples))

    def compute_metrics(self, results: list[int]) -> dict[str, float]:
        """The best value."""
        return {"count": float(sum(results))}


def test_no_metric_of_invalid_scores_is_given(make_runner: MakeRunner) -> None:
    runner = make_runner(test_evaluator=dict(type="CountSamples", _delete_=True))
    assert runner.test()["count"] > 0
    runner.model.head.fc.weight.data.fill_(math.nan)  # after loading, where weights were still finite
    with pytest.raises(UserInputError, match=r"scores that are not finite \(test\)"):
        runner.test()


def test_code_that_fails_on_diverged_weights_is_explained(make_runner: MakeRunner) -> None:
    runner = make_runner()
    explain_failure(runner, ValueError("something else"))
    runner.model.backbone.conv1.weight.data[0] = math.nan
    message = r"diverged: not finite are backbone\.conv1\.weight .*led to ValueError: all of it failed; no checkpoint"
    with pytest.raises(UserInputError, match=message):
        explain_failure(runner, ValueError("all of\nit failed"))


def test_the_first_bad_loss_is_named_although_nobody_has_looked(make_runner: MakeRunner) -> None:
    """By the iteration and the term where it began, whatever becomes of the terms until the next look."""
    runner = train(make_runner, **{"train_cfg.max_epochs": 1})
    hook = next(hook for hook in runner.hooks if isinstance(hook, FiniteTrainingHook))
    info = next(hook for hook in runner.hooks if isinstance(hook, DeferredInfoHook))
    hook.interval = 100
    nan, one = torch.tensor(math.nan), torch.tensor(1.0)
    steps = [{"loss_a": one}, {"loss_b": one}, {"loss_b": -math.inf * one, "loss": nan}, {"loss_a": nan, "loss_b": nan}]
    for batch_idx, step in enumerate(steps):
        for each in (info, hook):
            each.after_train_iter(runner, batch_idx, outputs={"loss": one, **step})
    with pytest.raises(UserInputError, match=r"diverged: loss_b is -inf in epoch 2, iteration 3, which led to Key"):
        explain_failure(runner, KeyError("other code"))
    with pytest.raises(UserInputError, match=r"diverged: loss_b is -inf in epoch 2, iteration 3; epoch_1\.pth is the"):
        hook.after_train_epoch(runner)


def test_a_checkpoint_within_an_epoch_names_the_loss(make_runner: MakeRunner, tmp_path: Path) -> None:
    """It is due before the next look."""
    options = {"default_hooks.checkpoint.by_epoch": False, "default_hooks.checkpoint.interval": 5}
    with pytest.raises(UserInputError, match=r"diverged: loss is nan in epoch 2, iteration 4; iter_10\.pth is"):
        train(make_runner, PoisonHook("loss", 12), **options, **{"default_hooks.finite.interval": 1000})
    assert sorted(path.name for path in (tmp_path / "run").glob("*.pth")) == ["iter_10.pth"]


def test_arguments_are_checked() -> None:
    with pytest.raises(UserInputError, match="interval=0"):
        FiniteTrainingHook(interval=0)


def config(folder: Path, poison: str) -> Path:
    """A config of a small run with a poison."""
    path = folder / "poisoned.py"
    path.write_text(
        f"_base_ = [{str(ROOT / 'configs/ce/ce_r32_digits.py')!r}]\n"
        "custom_imports = dict(imports=['lt_plugins.plugins', 'tests.engine.hooks.poison_hook'])\n"
        f"custom_hooks = [*_base_.custom_hooks, {poison}]\n"
        "model = dict(backbone=dict(depth=20))\n"
        "train_dataloader = dict(batch_size=4, dataset=dict(max_count=16, imbalance_factor=8))\n"
        "train_cfg = dict(max_epochs=3)\n"
        "val_cfg = val_dataloader = val_evaluator = None\n"
    )
    return path


@pytest.mark.parametrize("target", ["loss", "backbone.bn1.running_var"])
def test_two_processes_stop_together_with_one_line(target: str, tmp_path: Path) -> None:
    """Of one process alone the loss or a statistic breaks; both resume from what is left."""
    poisoned = config(tmp_path, f"dict(type='PoisonHook', target={target!r}, first=12, rank=1)")
    work_dir = tmp_path / "run"
    arguments: list[str | Path] = ["--work-dir", work_dir]
    ranks = run_ranks("train.py", poisoned, *arguments, logs=tmp_path / "1", world_size=2, port=free_port())
    assert [rank.exit_code for rank in ranks] == [1, 1], ranks[0].output
    lines = [line for rank in ranks for line in rank.error_lines]
    assert len(lines) == 1, lines
    assert ("loss is nan in epoch 2" if target == "loss" else f"{target} (1 of 16") in lines[0]
    assert not any("Traceback" in rank.output for rank in ranks)
    assert [path.name for path in work_dir.glob("*.pth")] == ["epoch_1.pth"]
    healthy = config(tmp_path, "")
    arguments += ["--resume", "--accept-changes"]  # of the hooks
    ranks = run_ranks("train.py", healthy, *arguments, logs=tmp_path / "2", world_size=2, port=free_port())
    assert [rank.exit_code for rank in ranks] == [0, 0], ranks[0].output
    assert (work_dir / "epoch_3.pth").is_file()
