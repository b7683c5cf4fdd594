"""A resume is compared with its run: what changed is listed, refused, or really taken over."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.runs.config import load_config
from lt_plugins.runs.quiet_runner import QuietRunner
from lt_plugins.runs.run_changes import Change, ChangedRunError, check_finished_run, find_changes, show_changes
from lt_plugins.runs.run_record import compare_configs, record_config
from tests.tool_process import ROOT, run_tool

CONFIG = ROOT / "configs/ce/ce_r32_digits.py"
# 83 images in 5 steps an epoch.
SMALL = {
    "model.backbone.depth": 20,
    "train_dataloader.dataset.max_count": 20,
    "train_dataloader.dataset.imbalance_factor": 8,
    "train_dataloader.batch_size": 18,
    "train_cfg.val_interval": 99,
    "train_cfg.val_begin": 99,
}
COSINE = [{"type": "CosineAnnealingLR", "by_epoch": True, "T_max": 4, "end": 4, "convert_to_iter_based": True}]


class Recorder(Hook):
    """Learning rate, weight decay and number of each iteration."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, float, float]] = []

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        group = runner.optim_wrapper.param_groups[0]
        self.rows.append((runner.iter, group["lr"], group["weight_decay"]))


def configure(work_dir: Path, **overrides: Any) -> Config:
    cfg = load_config(str(CONFIG))
    cfg.merge_from_dict(
        {
            **SMALL,
            "work_dir": str(work_dir),
            "experiment_name": f"{work_dir.name}_{id(cfg)}",
            "log_level": "ERROR",
            "train_cfg.max_epochs": 4,
            "param_scheduler": COSINE,
            **overrides,
        }
    )
    return cfg


def train(work_dir: Path, **overrides: Any) -> tuple[Runner, list[tuple[int, float, float]]]:
    runner, recorder = QuietRunner.from_cfg(configure(work_dir, **overrides)), Recorder()
    runner.register_hook(recorder)
    runner.train()
    return runner, recorder.rows


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of four epochs."""
    folder = tmp_path_factory.mktemp("run")
    train(folder, **{"default_hooks.checkpoint.max_keep_ckpts": -1})
    return folder / "epoch_2.pth"


def resume(checkpoint: Path, work_dir: Path, **overrides: Any) -> tuple[Runner, list[tuple[int, float, float]]]:
    return train(work_dir, resume=True, load_from=str(checkpoint), **overrides)


def test_the_record_is_plain_data(run: Path) -> None:
    record = load_checkpoint(run)["meta"]["run_record"]  # read with weights_only
    assert json.loads(json.dumps(record)) == record
    assert record["config"]["optim_wrapper.optimizer.lr"] == 0.05
    assert record["config"]["param_scheduler.0.T_max"] == 4
    assert record["class_names"] == [str(digit) for digit in range(10)]
    assert sum(record["data"]["class_counts"]) == record["data"]["images"] == 83
    assert record["data"]["steps_per_epoch"] == 5
    assert record["environment"]["world_size"] == 1
    assert not any("val_interval" in key or "Logger" in key or "num_workers" in key for key in record["config"])


def test_nothing_changed_is_exact(run: Path, tmp_path: Path) -> None:
    resume(run, tmp_path)
    expected, found = (load_checkpoint(folder / "epoch_4.pth") for folder in (run.parent, tmp_path))
    for name, value in expected["state_dict"].items():
        assert torch.equal(found["state_dict"][name], value), name
    assert found["param_schedulers"] == expected["param_schedulers"]
    assert found["meta"]["run_record"] == expected["meta"]["run_record"]


SILENT: dict[str, Any] = {
    "default_hooks.logger.interval": 3,
    "default_hooks.checkpoint.interval": 2,
    "train_cfg.val_interval": 1,  # the run so far was never evaluated
    "train_cfg.val_begin": 1,
    "train_dataloader.pin_memory": True,
    "val_dataloader.batch_size": 7,
    "model.backbone.init_cfg": {"type": "Constant", "layer": "Conv2d", "val": 0.1},
    "visualizer.vis_backends": [],
    "find_unused_parameters": True,
    "randomness.seed": None,
}


def test_what_does_not_change_the_result_passes(run: Path, tmp_path: Path) -> None:
    resume(run, tmp_path, **SILENT)
    expected, found = (load_checkpoint(folder / "epoch_4.pth")["state_dict"] for folder in (run.parent, tmp_path))
    assert all(torch.equal(found[name], value) for name, value in expected.items())


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "learning rate": ({"optim_wrapper.optimizer.lr": 0.1}, "optim_wrapper.optimizer.lr 0.05 -> 0.1"),
    "weight decay": ({"optim_wrapper.optimizer.weight_decay": 0.0}, r"weight_decay 0.0005 -> 0.0\."),
    "momentum": ({"optim_wrapper.optimizer.momentum": 0.8}, "optim_wrapper.optimizer.momentum 0.9 -> 0.8"),
    "new setting": ({"optim_wrapper.optimizer.nesterov": True}, "nesterov none -> True"),
    "optimiser": ({"optim_wrapper.optimizer": {"type": "Adam", "lr": 0.1, "_delete_": True}}, "type SGD -> Adam"),
    "clipping": ({"optim_wrapper.clip_grad": {"max_norm": 1}}, "optim_wrapper.clip_grad.max_norm none -> 1"),
    "accumulation": ({"optim_wrapper.accumulative_counts": 2}, "accumulative_counts none -> 2"),
    "schedule": ({"param_scheduler": [{**COSINE[0], "T_max": 3}]}, "param_scheduler.0.T_max 4 -> 3"),
    "no schedule": ({"param_scheduler": []}, "param_scheduler.0.type CosineAnnealingLR -> none"),
    "batch size": ({"train_dataloader.batch_size": 9}, "train_dataloader.batch_size 18 -> 9"),
    "loss weight": ({"model.head.loss.loss_weight": 2.0}, r"model.head.loss.loss_weight (1.0|none) -> 2.0"),
    "sampler": ({"train_dataloader.sampler.shuffle": False}, "train_dataloader.sampler.shuffle True -> False"),
    "seed": ({"randomness.seed": 7}, "randomness.seed 0 -> 7"),
    "hook": ({"default_hooks.ema": {"type": "EMAHook"}}, "hooks.EMAHook.type none -> EMAHook"),
    "scaling": ({"auto_scale_lr.enable": True}, "auto_scale_lr.base_batch_size none -> 64"),
}


def changes_of(run: Path, **overrides: Any) -> list[Change]:
    """What would be listed, by the configs alone."""
    before = load_checkpoint(run)["meta"]["run_record"]
    return list(find_changes(before, {**before, "config": record_config(configure(run.parent, **overrides))}))


@pytest.mark.parametrize("name", REFUSED)
def test_what_changes_the_result_needs_permission(name: str, run: Path) -> None:
    overrides, message = REFUSED[name]
    changes = changes_of(run, **overrides)
    assert changes and all(change.is_refused for change in changes)
    assert re.search(message, f"{show_changes(changes)}.")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"train_dataloader.dataset.max_count": 21}, r"83 images of 10 classes -> .* first at class 0 \(20 and 21"),
        ({"train_dataloader.dataset.seed": 1}, "dataset.seed none -> 1; images 83 in one list or order -> 83 in an"),
    ],
)
def test_other_images_need_permission(overrides: dict, message: str, run: Path, tmp_path: Path) -> None:
    with pytest.raises(ChangedRunError, match=f"epoch_2.pth was another one: .*{message}.*--accept-changes"):
        resume(run, tmp_path, **overrides)


def test_all_changes_are_listed(run: Path, tmp_path: Path) -> None:
    overrides = {"optim_wrapper.optimizer.lr": 0.1, "optim_wrapper.optimizer.momentum": 0.8, "randomness.seed": 7}
    with pytest.raises(ChangedRunError, match=r"lr 0.05 -> 0.1; .*momentum 0.9 -> 0.8; randomness.seed 0 -> 7\."):
        resume(run, tmp_path, **overrides)


@pytest.mark.parametrize("name", ["learning rate", "momentum", "schedule", "no schedule", "scaling"])
def test_accepted_settings_are_those_of_a_run_that_had_them(name: str, run: Path, tmp_path: Path) -> None:
    overrides = REFUSED[name][0]
    _, always = train(tmp_path / "always", **overrides)
    runner, found = resume(run, tmp_path / "resumed", accept_changes=True, **overrides)
    assert [row[0] for row in found] == list(range(10, 20))
    for row, expected in zip(found, always[10:], strict=True):
        assert row == pytest.approx(expected, rel=1e-6)
    assert runner.optim_wrapper.param_groups[0]["momentum"] == overrides.get("optim_wrapper.optimizer.momentum", 0.9)
    again = load_checkpoint(tmp_path / "resumed/epoch_4.pth")
    assert again["meta"]["run_record"]["config"] != load_checkpoint(run)["meta"]["run_record"]["config"]


def test_an_accepted_seed_and_optimiser(run: Path, tmp_path: Path) -> None:
    overrides = {**REFUSED["optimiser"][0], "randomness.seed": 7}
    runner, _ = resume(run, tmp_path, accept_changes=True, **overrides)
    assert runner.seed == runner.train_dataloader.sampler.seed == 7
    assert load_checkpoint(tmp_path / "epoch_4.pth")["optimizer"]["state"][0]["step"] == 10


def test_accepted_data(run: Path, tmp_path: Path) -> None:
    runner, _ = resume(run, tmp_path, accept_changes=True, **{"train_dataloader.dataset.max_count": 30})
    assert int(runner.model.class_distribution.counts[0]) == 30


@pytest.mark.parametrize("batch_size", [9, 40])
def test_the_schedule_follows_another_number_of_steps(batch_size: int, run: Path, tmp_path: Path) -> None:
    overrides = {"train_dataloader.batch_size": batch_size}
    _, always = train(tmp_path / "always", **overrides)
    runner, found = resume(run, tmp_path / "resumed", accept_changes=True, **overrides)
    steps = len(runner.train_dataloader)
    assert steps != 5
    assert [row[0] for row in found] == list(range(2 * steps, 4 * steps))
    for row, expected in zip(found, always[2 * steps :], strict=True):
        assert row == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("epochs", [3, 8])
def test_another_length_needs_no_permission(epochs: int, run: Path, tmp_path: Path) -> None:
    overrides = {"train_cfg.max_epochs": epochs, "param_scheduler": [{**COSINE[0], "T_max": epochs, "end": epochs}]}
    _, always = train(tmp_path / "always", **overrides)
    _, found = resume(run, tmp_path / "resumed", **overrides)
    assert len(found) == 5 * (epochs - 2)
    for row, expected in zip(found, always[10:], strict=True):
        assert row == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ChangedRunError, match="weight_decay"):
        resume(run, tmp_path / "no", **overrides, **{"optim_wrapper.optimizer.weight_decay": 0.0})


def changed_record(run: Path, work_dir: Path, **parts: Any) -> Path:
    """A copy of the checkpoint with another record."""
    checkpoint = load_checkpoint(run)
    for name, values in parts.items():
        checkpoint["meta"]["run_record"][name].update(values)
    torch.save(checkpoint, work_dir / "copy.pth")
    return work_dir / "copy.pth"


@pytest.mark.parametrize(
    ("name", "value"), [("threads", 99), ("world_size", 3), ("memory_format", "contiguous_format")]
)
def test_another_environment(name: str, value: Any, run: Path, tmp_path: Path) -> None:
    """A CPU repeats a run bit for bit, unless one of these differs; on a GPU most do not matter."""
    copy = changed_record(run, tmp_path, environment={name: value})
    with pytest.raises(ChangedRunError, match=f"{name} {value} -> "):
        resume(copy, tmp_path)
    copy = changed_record(run, tmp_path, environment={name: value, "device": "cuda"})
    if name == "world_size":
        with pytest.raises(ChangedRunError, match="world_size 3 -> 1"):
            resume(copy, tmp_path)
    else:
        resume(copy, tmp_path)


def test_compilation_is_noted_and_needs_no_permission(run: Path, tmp_path: Path) -> None:
    resume(changed_record(run, tmp_path, environment={"compile": True}), tmp_path, log_level="INFO")
    assert "compile True -> False" in next(tmp_path.glob("*/*.log")).read_text()


def test_data_may_have_moved(run: Path, tmp_path: Path) -> None:
    moved = {"train_dataloader.dataset.dataset.data_root": "elsewhere"}
    copy = changed_record(run, tmp_path, config=moved, data={"list": "0", "class_counts": None})
    resume(copy, tmp_path)
    copy = changed_record(run, tmp_path, data={"list": "0"})
    with pytest.raises(ChangedRunError, match="images 83 in one list or order -> 83 in another"):
        resume(copy, tmp_path)


@pytest.mark.parametrize("record", [None, {"config": {}, "data": [], "environment": {}}])
def test_a_checkpoint_without_a_record_is_resumed(record: Any, run: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(run)
    checkpoint["meta"]["run_record"] = record
    torch.save(checkpoint, tmp_path / "old.pth")
    _, rows = resume(tmp_path / "old.pth", tmp_path, **{"optim_wrapper.optimizer.weight_decay": 0.0})
    assert rows[-1][2] == 5e-4


@pytest.mark.parametrize("mmpretrains", [True, False])
def test_classes_that_compute_the_same_are_no_change(mmpretrains: bool) -> None:
    """A run with the preprocessor and head of mmpretrain goes on with ours, and the other way round."""
    ours = {"data_preprocessor.type": "ImageBatchPreprocessor", "model.head.type": "LinearHead", "model.head.topk": 1}
    theirs = {"data_preprocessor.type": "ClsDataPreprocessor", "model.head.type": "LinearClsHead", "model.head.topk": 1}
    if mmpretrains:
        del theirs["data_preprocessor.type"]  # its default
    assert compare_configs(theirs, ours) == compare_configs(ours, theirs) == {}
    other = {**ours, "data_preprocessor.type": "MyPreprocessor", "model.head.type": "MyHead"}
    assert compare_configs(theirs, other) == {
        "data_preprocessor.type": (None, "MyPreprocessor"),
        "model.head.type": ("LinearHead", "MyHead"),
    }


def test_a_finished_stage_is_compared(run: Path) -> None:
    record = load_checkpoint(run)["meta"]["run_record"]
    cfg = load_config(str(CONFIG), dict(SMALL))
    check_finished_run(record, cfg, "stage 1")
    check_finished_run(None, cfg, "stage 1")
    cfg.optim_wrapper.optimizer.lr = 0.3
    with pytest.raises(ChangedRunError, match=r"stage 1 is finished, with other settings: .*lr 0.05 -> 0.3\. Keep it"):
        check_finished_run(record, cfg, "stage 1")
    cfg.accept_changes = True
    check_finished_run(record, cfg, "stage 1")


def test_on_the_command_line(tmp_path: Path) -> None:
    """Refused, with the dump of the config left as it was; then accepted; then longer."""
    small = [f"{key}={value}" for key, value in SMALL.items()]
    work_dir = tmp_path / "run"

    def run_train(*options: str, overrides: list[str]) -> Any:
        arguments: list[str | Path] = [CONFIG, *options, "--work-dir", work_dir, "--cfg-options", *small, *overrides]
        return run_tool("train.py", *arguments, logs=tmp_path)

    assert run_train(overrides=["train_cfg.max_epochs=2"]).exit_code == 0
    dump = (work_dir / CONFIG.name).read_text()
    other = ["train_cfg.max_epochs=3", "optim_wrapper.optimizer.lr=0.2"]
    refused = run_train("--resume", overrides=other)
    assert refused.exit_code == 1
    assert len(refused.error_lines) == 1 and "optim_wrapper.optimizer.lr 0.05 -> 0.2" in refused.error_lines[0]
    assert (work_dir / CONFIG.name).read_text() == dump
    accepted = run_train("--resume", "--accept-changes", overrides=other)
    assert accepted.exit_code == 0, accepted.output
    assert "lr=0.2" in (work_dir / CONFIG.name).read_text()
    group = load_checkpoint(work_dir / "epoch_3.pth")["optimizer"]["param_groups"][0]
    assert group["initial_lr"] == 0.2
