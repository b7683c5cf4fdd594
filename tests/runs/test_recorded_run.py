"""A run that is a cell of a table: its record is checked, and what others have put in its folder is one line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch

from lt_plugins.errors import UserInputError
from lt_plugins.runs.recorded_run import RecordedRun
from lt_plugins.runs.run_folder import RunFolder
from lt_plugins.runs.run_summary import NO_SUMMARY


def make(folder: Path, seed: int = 0) -> RecordedRun:
    """A run of a sweep."""
    return RecordedRun(f"a, seed {seed}", folder, "a.py", seed, ["b=1"])


def write_start(folder: Path, config: str = "train_cfg = dict(max_epochs=2)\n") -> None:
    """What training leaves."""
    start = folder / "20260101_000000" / "vis_data"
    start.mkdir(parents=True, exist_ok=True)
    (start / "config.py").write_text(config)
    rows = [{"loss": 1.0, "epoch": 2, "iter": 4, "step": 4}, {"shot/few": 3.0, "step": 2}]
    (start / "scalars.json").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "3", "\0", "[" * 100_000, "\udcff"], ids=range(8))
def test_a_foreign_record_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserInputError, match=r"sweep\.json cannot be read as a JSON object .* --work-dir") as caught:
        make(tmp_path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize("text", ["{", "[1]", '{"few": "many"}', '{"few": [1]}', '{"few": null}'])
def test_foreign_metrics_are_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "tested.json").write_text(text)
    with pytest.raises(UserInputError, match=r"tested\.json cannot be read as .*; delete it to test again"):
        make(tmp_path).metrics()


def test_metrics_of_the_last_epoch(tmp_path: Path) -> None:
    assert make(tmp_path).metrics() is None
    write_start(tmp_path)
    assert make(tmp_path).metrics() == {"step": 2, "shot/few": 3.0}
    write_start(tmp_path, "train_cfg = dict(max_epochs=3)\n")
    assert make(tmp_path).metrics() is None
    for config in ("train_cfg = 3\n", "train_cfg = dict(max_epochs='x')\n", "\n", "train_cfg = (\n"):
        write_start(tmp_path, config)
        with pytest.raises(UserInputError, match=r"expected (dict|int)|cannot be read as a config"):
            make(tmp_path).metrics()


def test_a_test_set_of_its_own_is_tested(tmp_path: Path) -> None:
    """The last evaluation of the training was on other images."""
    train = "train_cfg = dict(max_epochs=2)\n"
    val, test = (
        "{}_dataloader = dict(dataset=dict(split='{}'))\n".format(*names) for names in (("val", "v"), ("test", "t"))
    )
    write_start(tmp_path, train + val + "test_dataloader = dict(batch_size=9, dataset=dict(split='v'))\n")
    assert make(tmp_path).metrics() == {"step": 2, "shot/few": 3.0}
    write_start(tmp_path, train + val + test)
    run = make(tmp_path)
    assert run.metrics() is None
    torch.save({"meta": {"epoch": 2}, "state_dict": {"a": torch.ones(1)}}, tmp_path / "epoch_2.pth")
    (tmp_path / "last_checkpoint").write_text("epoch_2.pth")
    tools: list[str] = []

    def test_it(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
        tools.append(Path(command[1]).name)
        # A test knows nothing of --shorten: the length of the training is that of its own start.
        start = tmp_path / "20260101_010000" / "vis_data"
        start.mkdir(parents=True)
        (start / "config.py").write_text("train_cfg = dict(max_epochs=20)\n" + val + test)
        (tmp_path / "tested.json").write_text('{"clt/accuracy": 4.0}')
        return 0, ""

    assert run.finish(run_command=test_it) == {"clt/accuracy": 4.0}
    assert tools == ["test.py"]
    assert RunFolder(tmp_path).setting("train_cfg.max_epochs", int) == 2
    (tmp_path / "tested.json").unlink()
    assert run.metrics() is None
    assert run._is_trained()


ROW = {"pascal_voc/mAP": 0.2, "pascal_voc/AP50": 0.4, "pascal_voc/AP75": 0.1}


def write_iterations(folder: Path, iterations: int, evaluated: bool) -> None:
    """What training leaves of a run of ten iterations."""
    start = folder / "20261125_000000" / "vis_data"
    start.mkdir(parents=True)
    rows: list[dict[str, float]] = [{"loss": 1.0, "iter": step, "step": step} for step in range(2, iterations + 1, 2)]
    rows += [{**ROW, "step": 0}] if evaluated else []
    (start / "scalars.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (start / "config.py").write_text("train_cfg = dict(type='IterBasedTrainLoop', max_iters=10)\n")


@pytest.mark.parametrize(("iterations", "evaluated"), [(None, False), (0, False), (10, False), (8, True)])
def test_a_run_by_iterations_is_not_finished(iterations: int | None, evaluated: bool, tmp_path: Path) -> None:
    if iterations is not None:
        write_iterations(tmp_path, iterations, evaluated)
    assert make(tmp_path).metrics() is None


def test_a_run_by_iterations_is_finished(tmp_path: Path) -> None:
    write_iterations(tmp_path, 10, evaluated=True)
    assert make(tmp_path).metrics() == {**ROW, "step": 10}


def test_command(tmp_path: Path) -> None:
    calls: list[list[str]] = []

    def run(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
        calls.append(list(command))
        write_iterations(tmp_path / "run", 10, evaluated=True)
        return 0, ""

    recorded = RecordedRun("x, seed 2", tmp_path / "run", "x.py", 2, ["a.b=1"], data="my photos")
    assert recorded.finish(["--backbone", "ce.pth"], num_gpus=8, run_command=run)["pascal_voc/AP50"] == 0.4
    [command] = calls
    torchrun, options = command[: command.index("x.py")], command[command.index("x.py") :]
    assert torchrun[1].endswith("tools/dist_run.py")
    assert torchrun[2:-1] == ["--standalone", "--nproc-per-node", "8"]
    assert torchrun[-1].endswith("tools/train.py")
    assert options == [
        *("x.py", "--resume", "--backbone", "ce.pth", "--work-dir", str(tmp_path / "run"), "--launcher", "pytorch"),
        *("--data", "my photos", "--cfg-options", "randomness.seed=2", "a.b=1"),
    ]
    assert recorded.command(["--backbone", "ce.pth"]) == (
        "python tools/train.py x.py --backbone ce.pth --data 'my photos' --cfg-options randomness.seed=2 a.b=1"
    )


@pytest.mark.parametrize("num_gpus", [1, 4])
def test_stopped_in_the_last_evaluation(num_gpus: int, tmp_path: Path) -> None:
    """mmengine does not repeat the evaluation of a run that has all its steps."""
    write_iterations(tmp_path, 10, evaluated=False)
    torch.save({"meta": {"iter": 10}, "state_dict": {"a": torch.ones(1)}}, tmp_path / "iter_10.pth")
    (tmp_path / "last_checkpoint").write_text("iter_10.pth")
    calls: list[list[str]] = []

    def run(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
        calls.append(list(command))
        (tmp_path / "tested.json").write_text(json.dumps(ROW))
        return 0, ""

    assert make(tmp_path).finish(num_gpus=num_gpus, run_command=run)["pascal_voc/AP50"] == 0.4
    [command] = calls
    tool = command.index("a.py") - 1
    assert command[tool].endswith("tools/test.py")
    assert command[tool + 2] == str(tmp_path / "iter_10.pth")
    assert any(part.endswith("dist_run.py") for part in command) == (num_gpus > 1)


@pytest.mark.parametrize(
    ("code", "reason", "line"),
    [
        (7, "", "it ended with exit code 7, see above"),
        (7, "lr must be a number.", "lr must be a number"),
        (-9, "", r"it was killed by SIGKILL \(memory exhausted, or somebody stopped it\)"),
        (-11, "", "it was killed by SIGSEGV"),
    ],
)
def test_failure_is_reported(code: int, reason: str, line: str, tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match=f"the train run of a, seed 0 stopped: {line}; the same command"):
        make(tmp_path).finish(run_command=lambda _command, _environment: (code, reason))


def test_a_run_keeps_the_number_of_threads_that_it_began_with(tmp_path: Path) -> None:
    seen: list[Mapping[str, str]] = []

    def fail(_command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
        seen.append(environment)
        return 1, "no"

    def start(threads: int | None) -> RecordedRun:
        run = RecordedRun("a, seed 0", tmp_path, "a.py", 0, [], threads=threads)
        with pytest.raises(UserInputError):
            run.finish(run_command=fail)
        return run

    assert start(None).command() == "python tools/train.py a.py --cfg-options randomness.seed=0"
    assert start(4).command() == "OMP_NUM_THREADS=4 python tools/train.py a.py --cfg-options randomness.seed=0"
    assert [start(threads).threads for threads in (2, None)] == [4, 4], "it has begun with 4"
    assert seen == [{NO_SUMMARY: "1"}, *[{NO_SUMMARY: "1", "OMP_NUM_THREADS": "4"}] * 3]
    record = tmp_path / "sweep.json"
    record.write_text(record.read_text().replace('"threads": 4', '"threads": "many"'))
    with pytest.raises(UserInputError, match=r"sweep\.json cannot be read as the record of a run"):
        start(4)


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    def run(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
        write_iterations(tmp_path, 10, evaluated=True)
        return 0, ""

    def transfer(weights: str, file: str, *overrides: str) -> RecordedRun:
        details = {"sha256": weights, "backbone": {"name": "sbcl", "checkpoint": file}}
        return RecordedRun("sbcl, seed 0", tmp_path, "x.py", 0, overrides, details, may_change=["backbone"])

    transfer("ab12", "sbcl.pth").finish(run_command=run)
    assert transfer("ab12", "moved.pth").metrics(), "the same weights may have moved"
    with pytest.raises(UserInputError, match=r"holds a run with overrides=\['randomness.seed=0'\], not"):
        transfer("ab12", "moved.pth", "a=1")
    with pytest.raises(UserInputError, match=r"holds a run with sha256=.*give another --work-dir"):
        transfer("cd34", "moved.pth")
