"""The runs of a transfer table: what they are called, when they are finished, and that none is mistaken for another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lt_plugins.detection.transfer import NamedBackbone, Transfer, parse_backbone
from lt_plugins.errors import UserInputError
from lt_plugins.runs import recorded_run

ROW = {"pascal_voc/mAP": 0.2, "pascal_voc/AP50": 0.4, "pascal_voc/AP75": 0.1}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "sbcl" / "stage1" / "epoch_200.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    return path


def write_log(folder: Path, iterations: int, evaluated: bool) -> None:
    """What training leaves of a run of ten iterations."""
    start = folder / "20261125_000000" / "vis_data"
    start.mkdir(parents=True)
    rows: list[dict[str, float]] = [{"loss": 1.0, "iter": step, "step": step} for step in range(2, iterations + 1, 2)]
    rows += [{**ROW, "step": 0}] if evaluated else []
    (start / "scalars.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (start / "config.py").write_text("train_cfg = dict(type='IterBasedTrainLoop', max_iters=10)\n")


def test_names(weights: Path, tmp_path: Path) -> None:
    file = tmp_path / "ce.pth"
    file.touch()
    assert parse_backbone("random") == ("random", "random")
    assert parse_backbone(str(file)) == ("ce", str(file))
    assert parse_backbone(str(weights)) == ("sbcl", str(weights)), "the folder of the run, not stage1"
    assert parse_backbone(f"mine={weights}") == ("mine", str(weights))
    with pytest.raises(UserInputError, match=r"none\.pth does not exist"):
        parse_backbone("ce=none.pth")
    with pytest.raises(UserInputError, match="the name 'a/b' may have"):
        parse_backbone(f"a/b={file}")


@pytest.mark.parametrize(("iterations", "evaluated"), [(None, False), (0, False), (10, False), (8, True)])
def test_is_not_finished(iterations: int | None, evaluated: bool, tmp_path: Path) -> None:
    transfer = Transfer("x.py", NamedBackbone("random", "random"), 0, tmp_path)
    if iterations is not None:
        write_log(tmp_path, iterations, evaluated)
    assert transfer.result() is None


def test_is_finished(tmp_path: Path) -> None:
    write_log(tmp_path, 10, evaluated=True)
    result = Transfer("x.py", NamedBackbone("random", "random"), 3, tmp_path).result()
    assert result == ("random", 3, {"AP50": 40.0, "AP": 20.0, "AP75": 10.0})


def test_command(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []

    def run(command: list[str]) -> tuple[int, str]:
        calls.append(command)
        write_log(tmp_path / "run", 10, evaluated=True)
        return 0, ""

    monkeypatch.setattr(recorded_run, "run_command", run)
    transfer = Transfer("x.py", NamedBackbone("sbcl", str(weights)), 2, tmp_path / "run", ["a.b=1"])
    assert transfer.run(num_gpus=8).seed == 2
    [command] = calls
    torchrun, options = command[: command.index("x.py")], command[command.index("x.py") :]
    assert torchrun[1].endswith("tools/dist_run.py")
    assert torchrun[2:-1] == ["--standalone", "--nproc-per-node", "8"]
    assert torchrun[-1].endswith("tools/train.py")
    assert options == [
        *("x.py", "--resume", "--backbone", str(weights), "--work-dir", str(tmp_path / "run")),
        *("--launcher", "pytorch", "--cfg-options", "randomness.seed=2", "a.b=1"),
    ]


@pytest.mark.parametrize("num_gpus", [1, 4])
def test_stopped_in_the_last_evaluation(num_gpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """mmengine does not repeat the evaluation of a run that has all its steps."""
    write_log(tmp_path, 10, evaluated=False)
    torch.save({"meta": {"iter": 10}, "state_dict": {"a": torch.ones(1)}}, tmp_path / "iter_10.pth")
    (tmp_path / "last_checkpoint").write_text("iter_10.pth")
    calls: list[list[str]] = []

    def run(command: list[str]) -> tuple[int, str]:
        calls.append(command)
        (tmp_path / "tested.json").write_text(json.dumps(ROW))
        return 0, ""

    monkeypatch.setattr(recorded_run, "run_command", run)
    result = Transfer("x.py", NamedBackbone("random", "random"), 0, tmp_path).run(num_gpus)
    assert result.metrics["AP50"] == 40.0
    [command] = calls
    tool = command.index("x.py") - 1
    assert command[tool].endswith("tools/test.py")
    assert command[tool + 2] == str(tmp_path / "iter_10.pth")
    assert any(part.endswith("dist_run.py") for part in command) == (num_gpus > 1)


def test_failure_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for reason, line in (("", "it ended with exit code 7, see above"), ("lr must be a number.", "lr must be a number")):
        monkeypatch.setattr(recorded_run, "run_command", lambda _, reason=reason: (7, reason))
        with pytest.raises(UserInputError, match=f"the train run of random, seed 0 stopped: {line}; the same command"):
            Transfer("x.py", NamedBackbone("random", "random"), 0, tmp_path).run()


def test_a_folder_of_another_run_is_refused(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str]) -> tuple[int, str]:
        write_log(tmp_path / "run", 10, evaluated=True)
        return 0, ""

    monkeypatch.setattr(recorded_run, "run_command", run)
    backbone = NamedBackbone("sbcl", str(weights))
    Transfer("x.py", backbone, 0, tmp_path / "run").run()
    moved = weights.rename(tmp_path / "moved.pth")
    assert Transfer("x.py", NamedBackbone("sbcl", str(moved)), 0, tmp_path / "run").result()
    with pytest.raises(UserInputError, match=r"run holds a run with overrides=\['randomness.seed=0'\], not"):
        Transfer("x.py", NamedBackbone("sbcl", str(moved)), 0, tmp_path / "run", ["a=1"])
    moved.write_bytes(b"other weights")
    with pytest.raises(UserInputError, match=r"holds a run with sha256=.*give another --work-dir"):
        Transfer("x.py", NamedBackbone("sbcl", str(moved)), 0, tmp_path / "run")
