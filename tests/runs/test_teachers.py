"""A later stage learns from the frozen network of an earlier one, or of another run."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.checkpoints.fingerprint import fingerprint_weights
from lt_plugins.errors import UserInputError
from lt_plugins.runs.config import load_stages
from lt_plugins.runs.stages import check_stages, place_stages
from tests.battery import noise
from tests.engine.test_distributed import free_port
from tests.engine.test_resume import assert_identical
from tests.tool_process import ROOT, run_ranks, run_tool, start_tool

CONFIG = f"""
_base_ = {str(ROOT / "configs/ce/ce_r32_digits.py")!r}
train_dataloader = dict(batch_size=24, dataset=dict(max_count=36, imbalance_factor=18))
train_cfg = dict(max_epochs=2, val_interval=9)
default_hooks = dict(logger=dict(interval=1))
stage2 = dict(
    from_scratch=True,
    model=dict(
        type="DistillClassifier",
        backbone=dict(type="CIFARResNet", depth=20),
        head=dict(type="LinearHead"),
        teachers=[dict(stage=1)],
        distill=dict(type="KDLoss", temperature=1.5),
    ),
    train_cfg=dict(max_epochs=3),
)
"""
OTHER = f"""
_base_ = {str(ROOT / "configs/ce/ce_r32_digits.py")!r}
model = dict(
    _delete_=True,
    type="DistillClassifier",
    backbone=dict(type="CIFARResNet", depth=20),
    head=dict(type="LinearHead", num_classes=10, in_channels=64),
    teachers=[dict(config=CONFIG, checkpoint=CHECKPOINT)],
    distill=dict(type="KDLoss"),
)
train_dataloader = dict(batch_size=24, dataset=dict(max_count=36, imbalance_factor=18))
train_cfg = dict(max_epochs=1, val_interval=9)
"""


def write_config(folder: Path, more: str = "") -> Path:
    """A config in two stages, with further lines."""
    path = folder / "config.py"
    path.write_text(f"{CONFIG}\n{more}\n")
    return path


def write_other(folder: Path, config: object, checkpoint: object) -> Path:
    """A config of one stage that learns from another run."""
    path = folder / "other.py"
    path.write_text(OTHER.replace("CONFIG", repr(str(config))).replace("CHECKPOINT", repr(str(checkpoint))))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the config and its undisturbed run, ``alone``."""
    folder = tmp_path_factory.mktemp("teachers")
    result = run_tool("train.py", write_config(folder), "--work-dir", folder / "alone", logs=folder)
    assert result.exit_code == 0, result.output
    return folder


# --------------------------------------------------------------------------------------------------- what a config says


def test_a_stage_describes_its_teacher(tmp_path: Path) -> None:
    first, second = load_stages(str(write_config(tmp_path)), {"model.head.loss.loss_weight": 0.5}, ["train"])
    [teacher] = second.model.teachers
    assert teacher.stage == 1
    assert teacher.model.backbone == first.model.backbone
    assert teacher.model.head == first.model.head
    assert teacher.model.data_preprocessor == first.data_preprocessor
    check_stages(place_stages([first, second], tmp_path))


def test_from_scratch_is_of_its_stage_alone(tmp_path: Path) -> None:
    stages = load_stages(str(write_config(tmp_path, "stage3 = dict(train_cfg=dict(max_epochs=1))")))
    assert [stage.get("from_scratch", False) for stage in stages] == [False, True, False]


def test_a_stage_may_change_parts_of_the_network_before(tmp_path: Path) -> None:
    """A part without a type; and only weights that are handed on make initial ones useless."""
    more = """
model["backbone"] = dict(init_cfg=dict(type="Kaiming", layer="Conv2d"))
stage2["model"].update(backbone=dict(depth=20), head=dict(loss=dict(loss_weight=2.0)))
stage3 = dict(model=dict(type="FrozenBackboneClassifier", head=dict(cal_acc=True)))
"""
    first, second, third = load_stages(str(write_config(tmp_path, f"model = dict(){more}")), needs=["train"])
    assert second.model.backbone == {**first.model.backbone, "depth": 20}
    assert second.model.head == {**first.model.head, "loss": {**first.model.head.loss, "loss_weight": 2.0}}
    assert third.model.backbone == {**second.model.backbone, "init_cfg": None}
    assert third.model.head == {**second.model.head, "cal_acc": True}


MISTAKES = {
    "stage2['model']['teachers'] = [dict(stage=2)]": r"teachers.0.stage=2 of stage 2 must be an earlier one, 1 to 1",
    "stage2['model']['teachers'] = [dict(stage='one')]": r"model.teachers.0.stage='one' of stage 2 must be an earlier",
    "model = dict(teachers=[dict(stage=1)])": r"ImageClassifier has no argument 'teachers'",
    "stage2['model']['teachers'] = [dict(stag=1)]": r"model.teachers.0={'stag': 1} must be dict\(stage=1\), or dict",
    "stage2['model']['teachers'] = dict(stage=1)": r"model.teachers={'stage': 1} .*must be a list",
    "stage2['from_scratch'] = 1": r"from_scratch=1 in the config must be True or False",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_mistakes_in_a_config(line: str, tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match=MISTAKES[line]):
        load_stages(str(write_config(tmp_path, line)), needs=["train"])


def test_a_stage_on_the_weights_of_another_network_needs_from_scratch(tmp_path: Path) -> None:
    config = write_config(tmp_path, "stage2['from_scratch'] = False\nstage2['model']['backbone']['depth'] = 44")
    with pytest.raises(UserInputError, match=r"stage 2 of .* cannot take the weights of stage 1"):
        check_stages(place_stages(load_stages(str(config)), tmp_path))


# ----------------------------------------------------------------------------------------------------------- whole runs


def test_killed_and_resumed_equals_undisturbed(finished: Path) -> None:
    killed = finished / "killed"
    victim = start_tool("train.py", finished / "config.py", "--work-dir", killed, logs=finished)
    victim.wait_for_line("Epoch(train) [3][2/")  # of stage 2, stage 1 has two epochs
    os.kill(victim.process.pid or 0, signal.SIGKILL)
    victim.wait()
    assert (killed / "last_checkpoint").read_text().endswith("killed/epoch_2.pth")
    resumed = run_tool("train.py", finished / "config.py", "--work-dir", killed, "--resume", logs=finished)
    assert resumed.exit_code == 0, resumed.output
    expected, actual = (load_checkpoint(finished / name / "epoch_3.pth") for name in ("alone", "killed"))
    for part in ("state_dict", "optimizer", "param_schedulers"):
        assert_identical(actual[part], expected[part], part)


def test_the_student_has_new_weights_and_the_teacher_those_of_its_stage(finished: Path) -> None:
    teacher, student = (load_checkpoint(finished / "alone" / name) for name in ("stage1/epoch_2.pth", "epoch_3.pth"))
    assert not any("teachers" in key for key in student["state_dict"])
    assert "backbone.layer1.4.conv1.weight" in teacher["state_dict"]
    assert "backbone.layer1.4.conv1.weight" not in student["state_dict"]
    weights = {key: value for key, value in teacher["state_dict"].items() if key != "class_distribution.counts"}
    assert student["meta"]["run_record"]["teachers"] == [fingerprint_weights(weights)]


def test_testing_needs_no_teacher(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "epoch_3.pth").write_bytes((finished / "alone/epoch_3.pth").read_bytes())
    for config in (finished / "config.py", finished / "alone/config.py"):
        tested = run_tool("test.py", config, tmp_path / "epoch_3.pth", logs=tmp_path)
        assert tested.exit_code == 0, tested.output


def test_another_teacher_or_none_is_refused_on_resume(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "stage1").mkdir(parents=True)
    for name in ("stage1/epoch_2.pth", "epoch_3.pth"):
        (run / name).write_bytes((finished / "alone" / name).read_bytes())
        (run / name).with_name("last_checkpoint").write_text(Path(name).name)
    config = write_config(tmp_path, "stage2['train_cfg']['max_epochs'] = 4")
    arguments: list[str | Path] = [config, "--work-dir", run, "--resume"]
    checkpoint = load_checkpoint(run / "stage1/epoch_2.pth")
    checkpoint["state_dict"]["head.fc.bias"][0] += 1
    torch.save(checkpoint, run / "stage1/epoch_2.pth")
    [line] = run_tool("train.py", *arguments, logs=tmp_path).error_lines
    assert "was another one" in line
    assert "weights of teacher 0 " in line
    (run / "stage1/epoch_2.pth").unlink()
    (run / "stage1/last_checkpoint").unlink()
    [line] = run_tool("train.py", *arguments, logs=tmp_path).error_lines
    assert "stage 1 of" in line
    assert "left no checkpoint in" in line


def test_learns_from_another_run(finished: Path, tmp_path: Path) -> None:
    config = write_other(tmp_path, f"{finished / 'config.py'}:stage1", finished / "alone/stage1")
    trained = run_tool("train.py", config, "--work-dir", tmp_path / "run", logs=tmp_path)
    assert trained.exit_code == 0, trained.output
    record = load_checkpoint(tmp_path / "run/epoch_1.pth")["meta"]["run_record"]["teachers"]
    assert record == load_checkpoint(finished / "alone/epoch_3.pth")["meta"]["run_record"]["teachers"]
    # The config that the run has written says all by itself.
    again = run_tool("train.py", tmp_path / "run/other.py", "--work-dir", tmp_path / "again", logs=tmp_path)
    assert again.exit_code == 0, again.output


WRONG = {
    "another network": ("alone/epoch_3.pth", r"model.teachers.0: .*epoch_3.pth is a checkpoint of another model"),
    "no file": ("nothing.pth", r"checkpoint .*nothing.pth does not exist"),
    "no checkpoint": ("config.py", r"config.py is not a checkpoint of torch"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_one_line(case: str, finished: Path, tmp_path: Path) -> None:
    name, message = WRONG[case]
    config = write_other(tmp_path, f"{finished / 'config.py'}:stage1", finished / name)
    [line] = run_tool("train.py", config, "--work-dir", tmp_path / "run", logs=tmp_path).error_lines
    assert re.search(message, line), line


def test_other_class_names_are_refused(finished: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(finished / "alone/stage1/epoch_2.pth")
    names = checkpoint["meta"]["dataset_meta"]["classes"]
    checkpoint["meta"]["dataset_meta"]["classes"] = (names[1], names[0], *names[2:])
    torch.save(checkpoint, tmp_path / "renamed.pth")
    config = write_other(tmp_path, f"{finished / 'config.py'}:stage1", tmp_path / "renamed.pth")
    [line] = run_tool("train.py", config, "--work-dir", tmp_path / "run", logs=tmp_path).error_lines
    assert "label 0 is '1' in model.teachers.0, " in line


def test_two_processes_have_the_same_teacher(finished: Path, tmp_path: Path) -> None:
    options: list[str | Path] = ["--work-dir", tmp_path / "run", "--no-validate", "--cfg-options"]
    options += ["train_cfg.max_epochs=1", "stage2.train_cfg.max_epochs=1"]
    ranks = run_ranks("train.py", finished / "config.py", *options, logs=tmp_path, world_size=2, port=free_port())
    for rank in ranks:
        assert rank.exit_code == 0, rank.output


def test_fingerprints_tell_names_types_shapes_and_bits() -> None:
    weights = {"a": noise(2, 3), "b": torch.arange(4), "c": torch.tensor(1.0)}
    same = {name: weights[name].clone() for name in ("c", "a", "b")}
    same["a"] = same["a"].t().contiguous().t()
    assert fingerprint_weights(weights) == fingerprint_weights(same)
    changes: list[dict[str, Any]] = [
        {"b": weights["b"].float()},
        {"a": weights["a"].reshape(3, 2)},
        {"c": torch.tensor(1.0000001)},
        {"d": weights["a"]},
    ]
    assert len({fingerprint_weights({**weights, **change}) for change in changes} | {fingerprint_weights(weights)}) == 5
