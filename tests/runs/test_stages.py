"""A chain of stages is trained by one command, goes on in the right stage, and refuses what cannot work at once."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config

from lt_plugins.checkpoints.checkpoint import find_last_checkpoint, load_checkpoint
from lt_plugins.errors import UserInputError
from lt_plugins.runs import stages
from lt_plugins.runs.config import load_stages
from lt_plugins.runs.run_record import record_config
from lt_plugins.runs.stages import Stage, check_stages, choose_start, configured_resume, place_stages, train_stages
from tests.checkpoints.test_run_checkpoints import flip, write_checkpoint
from tests.engine.test_distributed import free_port
from tests.engine.test_resume import assert_identical
from tests.tool_process import ROOT, ToolProcess, run_ranks, run_tool, start_tool

CONFIG = f"""
_base_ = {str(ROOT / "configs/ce/ce_r32_digits.py")!r}
model = dict(backbone=dict(depth=20))
train_dataloader = dict(batch_size=24, dataset=dict(max_count=36, imbalance_factor=18))
train_cfg = dict(max_epochs=3, val_interval=9)
default_hooks = dict(logger=dict(interval=1))
# Class weights from the third epoch on, so that a resumed run needs them again.
stage2 = dict(
    model=dict(
        type="FrozenBackboneClassifier",
        neck=dict(type="GlobalAveragePooling"),
        norm_eval=False,
        head=dict(type="CosineClsHead", loss=dict(type="LDAMLoss", class_weight="effective_number", reweight_from=2)),
    ),
    train_dataloader=dict(sampler=dict(_delete_=True, type="ClassAwareSampler")),
    train_cfg=dict(max_epochs=4),
)
"""


def write_config(folder: Path, more: str = "") -> Path:
    """A config in two stages, with further lines."""
    path = folder / "config.py"
    path.write_text(f"{CONFIG}\n{more}\n")
    return path


def load(path: Path | str, **overrides: Any) -> list[Stage]:
    """The stages of a config, as the tool finds them."""
    folder = Path(str(path).partition(":")[0]).parent / "run"
    return place_stages(load_stages(str(path), overrides, ["train"]), folder)


# ------------------------------------------------------------------------------------------------------ finding them


def test_a_config_alone_is_its_only_stage(tmp_path: Path) -> None:
    [stage] = load(f"{write_config(tmp_path)}:stage1")
    assert (stage.number, stage.total) == (1, 1)
    assert stage.cfg.work_dir == str(tmp_path / "run")


def test_earlier_stages_work_in_folders_of_the_last(tmp_path: Path) -> None:
    path = write_config(tmp_path, "stage3 = dict(optim_wrapper=dict(optimizer=dict(lr=0.01)))")
    chain = load(path)
    run = tmp_path / "run"
    assert [stage.cfg.work_dir for stage in chain] == [str(path) for path in (run / "stage1", run / "stage2", run)]
    assert str(chain[1]) == f"stage 2 of 3: {path} -> {run / 'stage2'}"
    assert chain[1].name == f"stage 2 of {path}"


MISTAKES = {
    "misspelt key": ("stage2['trian_cfg'] = dict(max_epochs=1)", "stage2 of .* has no 'trian_cfg'; did you mean 'tra"),
    "other classes": (
        "stage2['model']['head']['num_classes'] = 12",
        r"stage 1 of .*config.py has model.head.num_classes=10 and stage 2 of .* has 12; leave them out of stage2",
    ),
    "other backbone": (
        "stage2['model']['backbone'] = dict(type='CIFARResNet', depth=32)",
        r"stage 2 of .* cannot take the weights of stage 1 .*: layer1.3.conv1.weight is .* there and not here",
    ),
    "a part that cannot be built": (
        "stage2['model']['head'] = dict(type='LCRegHead', num_latents=0)",
        "num_latents=0 must be 1 or more",
    ),
    "nothing to train": ("stage2['train_cfg']['max_epochs'] = 0", "train_cfg.max_epochs=0 would train nothing"),
    "unknown component": ("stage2['model']['head']['type'] = 'NoHead'", "stage 2 of .*config.py: .*'NoHead' is not in"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_said_before_anything_is_trained(mistake: str, tmp_path: Path) -> None:
    text, message = MISTAKES[mistake]
    with pytest.raises(UserInputError, match=message):
        check_stages(load(write_config(tmp_path, text)))
    assert not (tmp_path / "run").exists()


# --------------------------------------------------------------------------------------------------- where to go on


def write_run(stage: Stage, epoch: int | None) -> None:
    """What a run leaves that has trained so many epochs; None for no folder."""
    if epoch is not None:
        folder = Path(stage.cfg.work_dir)
        folder.mkdir(parents=True, exist_ok=True)
        write_checkpoint(folder / f"epoch_{epoch}.pth", epoch)
        (folder / "last_checkpoint").write_text(str(folder / f"epoch_{epoch}.pth"))


@pytest.fixture
def three(tmp_path: Path) -> list[Stage]:
    """Three stages of three, four and four epochs."""
    return load(write_config(tmp_path, "stage3 = dict()"))


# Epochs that the stages have, where training goes on, and the epoch it goes on from there.
SITUATIONS: dict[str, tuple[list[int | None], tuple[int, int | None]]] = {
    "nothing": ([None, None, None], (0, None)),
    "in stage 1": ([2, None, None], (0, 2)),
    "after stage 1": ([3, None, None], (1, None)),
    "in stage 2": ([3, 1, None], (1, 1)),
    "after stage 2": ([3, 4, None], (2, None)),
    "in stage 3": ([3, 4, 2], (2, 2)),
    "done": ([3, 4, 4], (2, 4)),
    "stage 1 removed": ([None, 1, None], (1, 1)),
    "earlier stages removed": ([None, None, 1], (2, 1)),
    "stage 1 anew over an old run": ([1, 4, 4], (0, 1)),
    "longer than before": ([5, None, None], (1, None)),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_resume_finds_the_stage(situation: str, three: list[Stage]) -> None:
    epochs, (expected, expected_epoch) = SITUATIONS[situation]
    for stage, epoch in zip(three, epochs, strict=True):
        write_run(stage, epoch)
    index, checkpoint, _ = choose_start(three, "auto")
    assert index == expected
    assert checkpoint == (expected_epoch and f"{three[index].cfg.work_dir}/epoch_{expected_epoch}.pth")
    assert choose_start(three, None)[:2] == (0, None), "without --resume everything starts from scratch"
    assert choose_start(three, "some.pth") == (2, "some.pth", "the last stage goes on from some.pth")


def test_a_damaged_checkpoint_is_trained_again_unless_the_next_stage_has_begun(
    three: list[Stage], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(three[0].cfg.work_dir)
    write_run(three[0], 2)
    write_run(three[0], 3)
    flip(folder / "epoch_3.pth")
    assert choose_start(three, "auto")[:2] == (0, str(folder / "epoch_2.pth"))
    assert "epoch_3.pth is damaged" in capsys.readouterr().err
    write_run(three[1], 1)
    assert choose_start(three, "auto")[:2] == (1, f"{three[1].cfg.work_dir}/epoch_1.pth")
    (folder / "epoch_2.pth").unlink()
    assert choose_start(three, "auto")[:2] == (1, f"{three[1].cfg.work_dir}/epoch_1.pth")
    flip(Path(three[1].cfg.work_dir, "epoch_1.pth"))
    with pytest.raises(UserInputError, match=r"epoch_1\.pth is damaged .* no other checkpoint in .*stage2"):
        choose_start(three, "auto")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({}, None),
        ({"resume": True}, "auto"),
        ({"stage2.resume": True}, "auto"),
        ({"stage2.resume": True, "stage2.load_from": "x.pth"}, "x.pth"),
    ],
)
def test_a_config_may_ask_to_resume(overrides: dict[str, Any], expected: str | None, tmp_path: Path) -> None:
    assert configured_resume([stage.cfg for stage in load(write_config(tmp_path), **overrides)]) == expected


@pytest.mark.parametrize("resume", [None, "auto"])
def test_stages_before_given_weights_are_skipped(resume: str | None, three: list[Stage]) -> None:
    three[1].cfg.load_from = "given.pth"
    assert choose_start(three, resume) == (1, None, "load_from=given.pth is given")
    three[2].cfg.load_from = "other.pth"
    assert choose_start(three, resume) == (2, None, "load_from=other.pth is given")


Trained = list[tuple[str, bool, str | None]]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Trained:
    """Training without work: what it would start from, and its last checkpoint."""
    calls: Trained = []

    def train(following: list[Stage], notes: list[str], overwrite: bool) -> None:
        cfg = following[0].cfg
        calls.append((Path(cfg.work_dir).name, cfg.resume, cfg.load_from and Path(cfg.load_from).name))
        if cfg.get("fails"):
            raise KeyboardInterrupt
        write_run(Stage(cfg, 1, 1), None if cfg.get("saves_nothing") else cfg.train_cfg.max_epochs)

    monkeypatch.setattr(stages, "_train", train)
    return calls


def test_weights_are_handed_on(three: list[Stage], trained: Trained) -> None:
    train_stages(three, None)
    assert trained == [("stage1", False, None), ("stage2", False, "epoch_3.pth"), ("run", False, "epoch_4.pth")]


def test_nothing_is_overwritten(three: list[Stage], trained: Trained, tmp_path: Path) -> None:
    write_run(three[2], 4)
    for resume in (None, str(write_checkpoint(tmp_path / "other.pth", 1))):
        with pytest.raises(UserInputError, match=r"run holds epoch_4\.pth of an earlier run.* --overwrite"):
            train_stages(three, resume)
    write_run(three[0], 1)  # stopped in its first stage, over an older run
    with pytest.raises(UserInputError, match=r"run holds epoch_4\.pth of an earlier run"):
        train_stages(three, "auto")
    assert not trained
    train_stages(three, "auto", overwrite=True)
    assert trained == [("stage1", True, "epoch_1.pth"), ("stage2", False, "epoch_3.pth"), ("run", False, "epoch_4.pth")]


def test_only_what_is_missing_is_trained(three: list[Stage], trained: Trained) -> None:
    for stage, epoch in zip(three, (3, 2, None), strict=True):
        write_run(stage, epoch)
    train_stages(three, "auto")
    assert trained == [("stage2", True, "epoch_2.pth"), ("run", False, "epoch_4.pth")]


def test_later_stages_of_an_older_run_do_not_count(three: list[Stage], trained: Trained) -> None:
    """Stage 1 is trained anew over a finished run, and stage 2 killed before its first checkpoint."""
    for stage, epoch in zip(three, (3, 4, 4), strict=True):
        write_run(stage, epoch)
    with pytest.raises(UserInputError, match=r"stage1 holds epoch_3.pth of an earlier run.* --resume.* --overwrite"):
        train_stages(three, None)
    assert not trained
    three[1].cfg.fails = True
    with pytest.raises(KeyboardInterrupt):
        train_stages(three, None, overwrite=True)
    three[1].cfg.pop("fails")
    trained.clear()
    train_stages(three, "auto")
    assert trained == [("stage2", False, "epoch_3.pth"), ("run", False, "epoch_4.pth")]


def test_a_stage_that_saves_nothing_is_named(three: list[Stage], trained: Trained) -> None:
    three[0].cfg.saves_nothing = True
    with pytest.raises(
        UserInputError, match=r"stage 1 of .*config.py left no checkpoint in .*stage1; .*save_last=True"
    ):
        train_stages(three, None)


def test_stages_by_iterations_are_refused(three: list[Stage]) -> None:
    write_run(three[0], 3)
    del three[0].cfg.train_cfg.max_epochs
    with pytest.raises(UserInputError, match=r"stage 1 of .*config.py has no train_cfg.max_epochs"):
        choose_start(three, "auto")


# ------------------------------------------------------------------------------------------------------ whole runs


def test_a_stage_starts_as_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if both start in the same second; they bear the same name."""
    monkeypatch.setattr(time, "strftime", lambda *_: "20260101_000000")
    short: dict[str, Any] = {"train_cfg.max_epochs": 1, "stage2.train_cfg.max_epochs": 1, "log_level": "INFO"}
    chain = load(write_config(tmp_path), **short)
    torch.backends.cudnn.benchmark = True  # as if the first stage had asked for it
    train_stages(chain, None)
    logs = [next(Path(stage.cfg.work_dir).glob("*/*.log")).read_text() for stage in chain]
    for number, log in enumerate(logs, start=1):
        assert log.count("Epoch(train) [1][1/") == 1
        assert f"stage {number} of 2: " in log
        assert f"stage {3 - number} of 2: " not in log
    assert f"from {chain[0].cfg.work_dir}/epoch_1.pth" in logs[1]
    assert not torch.backends.cudnn.benchmark


def kill_at(line: str, victim: ToolProcess) -> str:
    """Kill a tool as soon as it has printed a line; what it had printed."""
    victim.wait_for_line(line)
    os.kill(victim.process.pid or 0, signal.SIGKILL)
    assert victim.wait().exit_code == -signal.SIGKILL
    return victim.output


def test_killed_in_each_stage_and_resumed_equals_undisturbed(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    undisturbed = run_tool("train.py", config, "--work-dir", alone, logs=tmp_path)
    assert undisturbed.exit_code == 0, undisturbed.output

    kill_at("Epoch(train) [2][2/", start_tool("train.py", config, "--work-dir", killed, logs=tmp_path))
    assert (killed / "stage1" / "last_checkpoint").read_text().endswith("epoch_1.pth")

    resume = ["--work-dir", str(killed), "--resume"]
    output = kill_at("Epoch(train) [4][2/", start_tool("train.py", config, *resume, logs=tmp_path))
    assert f"-> {killed}/stage1, resumes {killed}/stage1/epoch_1.pth" in output
    assert f"-> {killed}, from {killed}/stage1/epoch_3.pth" in output

    resumed = run_tool("train.py", config, *resume, logs=tmp_path)
    assert resumed.exit_code == 0, resumed.output
    assert f"-> {killed}/stage1 is skipped: it is finished" in resumed.output
    assert f"-> {killed}, resumes {killed}/epoch_3.pth" in resumed.output

    for name in ("stage1/epoch_3.pth", "epoch_4.pth"):
        expected, actual = (load_checkpoint(folder / name) for folder in (alone, killed))
        for part in ("state_dict", "optimizer", "param_schedulers"):
            assert_identical(actual[part], expected[part], f"{name} {part}")
    weights = [load_checkpoint(alone / name)["state_dict"] for name in ("stage1/epoch_3.pth", "epoch_4.pth")]
    assert torch.equal(weights[0]["backbone.conv1.weight"], weights[1]["backbone.conv1.weight"])


def test_two_processes_go_through_both_stages(tmp_path: Path) -> None:
    config, run = write_config(tmp_path), tmp_path / "run"
    options: list[str | Path] = [
        "--work-dir", run, "--no-validate", "--auto-scale-lr", "--cfg-options", "randomness.seed=4",
        "train_cfg.max_epochs=2", "stage2.train_cfg.max_epochs=1",
    ]  # fmt: skip
    ranks = run_ranks("train.py", config, *options, logs=tmp_path, world_size=2, port=free_port())
    for rank in ranks:
        assert rank.exit_code == 0, rank.output
    assert "Epoch(val)" not in ranks[0].output
    assert ranks[0].output.count(" of 2: ") == 2
    assert ranks[1].output.count(" of 2: ") == 0
    assert ranks[0].output.count("2 processes on cpu") == 2
    assert load_checkpoint(find_last_checkpoint(run / "stage1") or "")["meta"]["seed"] == 4
    first, second = (load_checkpoint(run / name) for name in ("stage1/epoch_2.pth", "epoch_1.pth"))
    assert first["meta"]["seed"] == second["meta"]["seed"] == 4
    assert first["optimizer"]["param_groups"][0]["initial_lr"] == pytest.approx(0.05 * 48 / 64), "scaled in stage 1 too"
    assert torch.equal(first["state_dict"]["backbone.conv1.weight"], second["state_dict"]["backbone.conv1.weight"])


def test_each_stage_leaves_a_plain_config_of_its_own(tmp_path: Path) -> None:
    """One that mmengine reads and trains without this package's stages."""
    path = write_config(tmp_path, "variants = dict(small=dict(train_dataloader=dict(batch_size=12)))")
    short = {"train_cfg.max_epochs": 1, "stage2.train_cfg.max_epochs": 1}
    chain = load(f"{path}:small", **short)
    train_stages(chain, None)
    dumps = [Config.fromfile(Path(stage.cfg.work_dir, "config.py")) for stage in chain]
    for dump, stage in zip(dumps, chain, strict=True):
        assert not [key for key in dump if key == "variants" or key.startswith("stage")]
        assert (dump.train_dataloader.batch_size, dump.train_cfg.max_epochs) == (12, 1)
        assert dump.model.type == stage.cfg.model.type
        [again] = load_stages(str(Path(stage.cfg.work_dir, "config.py")), needs=["train", "test"])
        trained = load_checkpoint(Path(stage.cfg.work_dir, "epoch_1.pth"))["meta"]["run_record"]
        assert record_config(again) == trained["config"]
    assert [dump.model.head.type for dump in dumps] == ["LinearHead", "CosineClsHead"]
    assert dumps[1].load_from == str(tmp_path / "run/stage1/epoch_1.pth")
