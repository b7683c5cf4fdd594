"""tools/train.py and tools/test.py from the command line: a run, its test, and one line for each mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.runs.run_folder import RunFolder
from tests.tool_process import ROOT, run_tool

CONFIG = str(ROOT / "configs/ce/ce_r32_digits.py")
SMALL = [
    "model.backbone.depth=20",
    "train_dataloader.dataset.max_count=16",
    "train_dataloader.dataset.imbalance_factor=8",
    "train_cfg.max_epochs=1",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work dir with one epoch of training, started with most options at once."""
    folder = tmp_path_factory.mktemp("trained")
    config = folder / "tensorboard.py"
    config.write_text(
        f"_base_ = {CONFIG!r}\n"
        "visualizer = dict(vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')])\n"
    )
    options = ["--work-dir", str(folder), "--auto-scale-lr", "--resume", "--cfg-options", *SMALL, "randomness.seed=4"]
    done = run_tool("train.py", config, *options, logs=folder)
    assert done.exit_code == 0, done.output
    assert "imbalance factor 8" in done.output
    assert "CIFARResNet, GlobalAveragePooling, LinearHead with CrossEntropyLoss" in done.output
    return folder


def test_training_leaves_a_complete_work_dir(trained: Path) -> None:
    assert load_checkpoint(trained / "epoch_1.pth")["meta"]["seed"] == 4
    assert (trained / "last_checkpoint").read_text() == str(trained / "epoch_1.pth")
    assert list(trained.glob("*/vis_data/events.out.tfevents.*"))
    assert list(trained.glob("*/vis_data/scalars.json"))
    assert list(trained.glob("tensorboard.py"))


def test_testing_needs_no_training_data(trained: Path) -> None:
    out = trained / "folder" / "metrics.json"
    gone = [f"train_dataloader.dataset.dataset.{option}" for option in ("type=CIFAR10", "data_root=/nowhere")]
    options = [SMALL[0], *gone, "train_dataloader.dataset.dataset.download=False"]
    done = run_tool(
        "test.py", CONFIG, trained, "--out", out, "--work-dir", trained / "test", "--cfg-options",
        *options, logs=trained,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    metrics = json.loads(out.read_text())
    assert all(isinstance(value, float) for value in metrics.values())
    assert any("few" in name for name in metrics)
    assert json.dumps(metrics, indent=2) in done.log.read_text()


def test_starting_from_the_weights_of_another_run(trained: Path) -> None:
    options = ["--no-validate", "--cfg-options", *SMALL, f"load_from={trained / 'epoch_1.pth'}"]
    done = run_tool("train.py", CONFIG, "--work-dir", trained / "next", *options, logs=trained)
    assert done.exit_code == 0, done.output
    assert "Epoch(val)" not in done.output


def test_every_second_epoch_and_the_last_of_both_stages_are_evaluated(tmp_path: Path) -> None:
    config = ROOT / "configs/lcreg/lcreg_r32_digits.py"
    metric = "shot/accuracy_top1"
    done = run_tool(
        "train.py", config, "--work-dir", tmp_path / "run", "--val-interval", "2", "--cfg-options", *SMALL[:-1],
        "train_cfg.max_epochs=5", "stage2.train_cfg.max_epochs=3", f"default_hooks.checkpoint.save_best={metric}",
        "default_hooks.checkpoint.rule=greater", "default_hooks.checkpoint.max_keep_ckpts=-1", logs=tmp_path,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    for folder, evaluated in ((tmp_path / "run" / "stage1", [2, 4, 5]), (tmp_path / "run", [2, 3])):
        rows = RunFolder(folder).log().metrics
        assert [row["step"] for row in rows] == evaluated
        best = max(rows, key=lambda row: row[metric])["step"]
        [saved] = folder.glob("best_*.pth")
        assert saved.stem.endswith(f"_epoch_{best}")
        kept, expected = (load_checkpoint(path)["state_dict"] for path in (saved, folder / f"epoch_{best}.pth"))
        assert all(torch.equal(kept[name], value) for name, value in expected.items())


def test_the_interval_of_a_training_that_counts_iterations(trained: Path, tmp_path: Path) -> None:
    config = tmp_path / "iterations.py"
    loop = "dict(_delete_=True, type='IterBasedTrainLoop', max_iters=5, val_interval=5, dynamic_intervals=[(2, 1)])"
    hooks = "dict(epoch_seed=None, checkpoint=dict(by_epoch=False, interval=5), logger=dict(interval=1))"
    config.write_text(
        f"_base_ = {CONFIG!r}\n"
        f"train_cfg = {loop}\nparam_scheduler = []\nlog_processor = dict(by_epoch=False)\ndefault_hooks = {hooks}\n"
        "train_dataloader = dict(sampler=dict(_delete_=True, type='InfiniteSampler'))\n"
    )
    options = ["--val-interval", "3", "--cfg-options", *SMALL[:-1]]
    done = run_tool("train.py", config, "--work-dir", tmp_path / "run", *options, logs=tmp_path)
    assert done.exit_code == 0, done.output
    log = RunFolder(tmp_path / "run").log()
    assert (log.unit, [row["step"] for row in log.metrics]) == ("iteration", [3, 5])


KEPT_WORKERS = ["train_dataloader.num_workers=1", "train_dataloader.persistent_workers=True"]
MISTAKES = {
    "no such config": ("train.py", ["none.py"], "config none.py does not exist"),
    "misspelt key": ("train.py", [CONFIG, "--cfg-options", "trian_cfg.max_epochs=3"], "did you mean 'train_cfg'"),
    "no value": ("train.py", [CONFIG, "--cfg-options", "train_cfg.max_epochs"], "is not key=value"),
    "unknown type": ("train.py", [CONFIG, "--cfg-options", "model.head.type=NoHead"], "'NoHead' is not in the"),
    "unknown argument": (
        "train.py",
        [CONFIG, "--cfg-options", "model.head.nmu=3"],
        "LinearHead has no argument 'nmu'",
    ),
    "missing folder": (
        "train.py",
        [str(ROOT / "configs/ce/ce_r50_imagenet-lt.py"), "--cfg-options", "model.backbone.init_cfg=None"],
        "imagenet",
    ),
    "wrong classes": ("train.py", [CONFIG, "--cfg-options", "model.head.num_classes=12"], "model.head.num_classes=12"),
    "no batch": (
        "train.py",
        [CONFIG, "--cfg-options", "train_dataloader.batch_size=999", "train_dataloader.drop_last=True"],
        "yields no batch of 999",
    ),
    "workers kept": (
        "train.py",
        [
            CONFIG,
            "--no-resident",
            "--cfg-options",
            "train_dataloader.num_workers=1",
            "train_dataloader.persistent_workers=True",
        ],
        "persistent_workers=False",
    ),
    "nothing to resume": ("train.py", [CONFIG, "--resume", "none.pth"], "checkpoint none.pth does not exist"),
    "no base batch": ("train.py", ["NO_BASE", "--auto-scale-lr"], "auto_scale_lr = dict(base_batch_size=...)"),
    "never evaluated": ("train.py", [CONFIG, "--val-interval", "0"], "--val-interval: 0 must be a whole number of at"),
    "evaluated and not": ("train.py", [CONFIG, "--val-interval", "2", "--no-validate"], "not allowed with argument"),
    "no checkpoint": ("test.py", [CONFIG, "none.pth"], "checkpoint none.pth does not exist"),
    "no checkpoint yet": ("test.py", [CONFIG, "EMPTY"], "has no checkpoint yet"),
    "output over input": ("test.py", [CONFIG, "TRAINED", "--out", "TRAINED"], "is the same file as the input"),
    "over a finished run": ("train.py", [CONFIG, "--work-dir", "RUN"], "epoch_1.pth of an earlier run, which training"),
    "over another run": (
        "train.py",
        [CONFIG, "--work-dir", "RUN", "--resume", "CUT_OFF"],
        "or replace it with --overwr",
    ),
    "a file as work dir": ("train.py", [CONFIG, "--work-dir", "CUT_OFF"], "cut_off.pth is a file; give the path of"),
    "another model": ("test.py", [CONFIG, "TRAINED"], "checkpoint of another model"),
    "cut off": ("test.py", [CONFIG, "CUT_OFF"], "is cut off"),
}
if not torch.cuda.is_available():
    MISTAKES["no GPU"] = ("train.py", [CONFIG, "--amp"], "needs a CUDA device")
    MISTAKES["no GPU for Slurm"] = ("test.py", [CONFIG, "none.pth", "--launcher", "slurm"], "needs GPUs")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(mistake: str, trained: Path, tmp_path: Path) -> None:
    tool, arguments, text = MISTAKES[mistake]
    (tmp_path / "cut_off.pth").write_bytes((trained / "epoch_1.pth").read_bytes()[:100_000])
    (tmp_path / "no_base.py").write_text(f"_base_ = {CONFIG!r}\nauto_scale_lr = dict(_delete_=True)\n")
    stand_ins = {
        "TRAINED": str(trained / "epoch_1.pth"),  # of 20 layers, while the config has 32
        "RUN": str(trained),
        "EMPTY": str(tmp_path),
        "CUT_OFF": str(tmp_path / "cut_off.pth"),
        "NO_BASE": str(tmp_path / "no_base.py"),
    }
    arguments = [stand_ins.get(value, value) for value in arguments]
    first, *rest = arguments
    done = run_tool(tool, first, "--work-dir", tmp_path / "run", *rest, logs=tmp_path)
    assert done.exit_code == 1, done.output
    assert len(done.error_lines) == 1, done.output
    assert text in done.error_lines[0]
    assert "Traceback" not in done.output
