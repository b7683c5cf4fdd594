"""A recipe is trained with the images of a step that its learning rate is meant for, or one says what else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from lt_plugins.checks.global_batch import check_global_batch
from lt_plugins.errors import UserInputError
from lt_plugins.runs.launch import launch_size
from tests.engine.test_distributed import free_port
from tests.small_runs import MakeRunner
from tests.tool_process import expect_errors, run_ranks, run_tool

ROOT = Path(__file__).resolve().parents[2]
PACO = str(ROOT / "configs/paco/paco_r50_imagenet-lt.py")
CE = str(ROOT / "configs/ce/ce_r32_cifar100-lt.py")
MISLAS = str(ROOT / "configs/mislas/mislas_r32_cifar100-lt.py")


def changed(path: str, **values: Any) -> Config:
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(values)
    return cfg


@pytest.mark.parametrize(
    ("path", "values", "world_size", "accepted"),
    [
        (PACO, {}, 4, True),
        (PACO, {}, 8, False),
        (PACO, {}, 1, False),
        (PACO, {"train_dataloader.batch_size": 16}, 8, True),
        (PACO, {"train_dataloader.batch_size": 128}, 1, True),
        (PACO, {"optim_wrapper.accumulative_counts": 4}, 1, True),
        (PACO, {"optim_wrapper.accumulative_counts": 4}, 4, False),
        (PACO, {"auto_scale_lr.enable": True}, 1, True),
        (PACO, {"auto_scale_lr.enable": False}, 8, True),
        (CE, {}, 1, True),
        (CE, {}, 2, False),
        (CE, {"train_dataloader.batch_size": 64}, 1, False),
        (CE, {"train_dataloader.batch_size": 64}, 2, True),
        (CE, {"auto_scale_lr": None, "train_dataloader.batch_size": 64}, 1, True),
        (CE, {"num_processes": None, "train_dataloader.batch_size": 64}, 1, True),
        ("configs/ce/ce_r32_digits.py", {"train_dataloader.batch_size": 8}, 2, True),
    ],
)
def test_what_is_a_recipe_s_batch(path: str, values: dict[str, Any], world_size: int, accepted: bool) -> None:
    cfg = changed(path, **values)
    if accepted:
        check_global_batch(cfg, world_size)
        return
    with pytest.raises(UserInputError, match=r"scale the learning rate by --auto-scale-lr, or keep it by --keep-lr"):
        check_global_batch(cfg, world_size)


def test_the_line_names_everything() -> None:
    with pytest.raises(UserInputError) as caught:
        check_global_batch(changed(PACO, **{"optim_wrapper.accumulative_counts": 3}), 2)
    for part in ("32 (train_dataloader.batch_size) x 2 (processes) x 3 (accumulative_counts) = 192", "128, 4 x 32",
                 "tools/dist_train.sh CONFIG 4", "--auto-scale-lr", "--keep-lr"):  # fmt: skip
        assert part in str(caught.value)


def test_processes_of_a_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "6")
    monkeypatch.setenv("SLURM_NTASKS", "16")
    assert [launch_size(launcher) for launcher in ("none", "pytorch", "slurm")] == [1, 6, 16]


def test_training_stops_before_the_first_step_whoever_starts_it(make_runner: MakeRunner) -> None:
    recipe = {"num_processes": 2, "auto_scale_lr.base_batch_size": 128}
    with pytest.raises(UserInputError, match="= 64 images a step"):
        make_runner(**recipe).train()
    make_runner(**recipe, **{"auto_scale_lr.enable": False, "train_cfg.max_epochs": 1}).train()


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits as a recipe of two processes with 64 images each."""
    path = tmp_path_factory.mktemp("recipe") / "recipe.py"
    path.write_text(
        f"""_base_ = {str(ROOT / "configs/ce/ce_r32_digits.py")!r}
model = dict(backbone=dict(depth=20))
train_dataloader = dict(dataset=dict(max_count=8, imbalance_factor=8))
train_cfg = dict(max_epochs=1)
param_scheduler = []
num_processes = 2
auto_scale_lr = dict(base_batch_size=128)
"""
    )
    return path


def test_tools_stop_with_one_line_before_anything_is_trained(recipe: Path, tmp_path: Path) -> None:
    later = "stage2.train_dataloader.batch_size=64"
    message = "64 (train_dataloader.batch_size) x 1 (processes) = 64 images a step"
    expect_errors(
        "train.py",
        {
            (recipe, "--work-dir", tmp_path / "a"): message,
            (MISLAS, "--work-dir", tmp_path / "b", "--cfg-options", later): "is meant for 128",
        },
        tmp_path / "logs",
    )
    expect_errors("sweep.py", {(recipe, "--work-dir", tmp_path / "c"): message}, tmp_path / "logs")
    assert not list(tmp_path.rglob("*.pth"))


@pytest.mark.parametrize(
    ("options", "accumulated", "expected"),
    [((), 2, 0.05), (("--keep-lr",), 1, 0.05), (("--auto-scale-lr",), 1, 0.025), (("--auto-scale-lr",), 4, 0.1)],
)
def test_learning_rate(
    recipe: Path, tmp_path: Path, options: tuple[str, ...], accumulated: int, expected: float
) -> None:
    accumulation = f"optim_wrapper.accumulative_counts={accumulated}"
    run = run_tool(
        "train.py", recipe, *options, "--no-validate", "--work-dir", tmp_path, "--cfg-options", accumulation,
        "default_hooks.logger.interval=1", logs=tmp_path / "logs",
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    (scalars,) = tmp_path.rglob("scalars.json")
    assert json.loads(scalars.read_text().splitlines()[0])["lr"] == pytest.approx(expected)


def test_processes_are_counted(tmp_path: Path) -> None:
    ranks = run_ranks("train.py", CE, "--work-dir", tmp_path / "run", logs=tmp_path, world_size=2, port=free_port())
    assert [rank.exit_code for rank in ranks] == [1, 1]
    lines = [line for rank in ranks for line in rank.error_lines]
    assert len(lines) == 1 and "x 2 (processes) = 256 images a step" in lines[0]
