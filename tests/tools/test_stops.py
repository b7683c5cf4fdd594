"""Tools that are stopped say so in one line, leave nothing running, and can be continued."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from tests.tool_process import ROOT, ToolProcess, run_tool, start_tool
from tools.dist_run import describe_failures, name_script

ARGUMENTS: list[str | Path] = [
    ROOT / "configs/ce/ce_r32_digits.py",
    "--no-resident",  # with workers
    "--cfg-options",
    "model.backbone.depth=20",
    "train_dataloader.dataset.max_count=36",
    "train_dataloader.dataset.imbalance_factor=18",
    "train_dataloader.batch_size=24",
    "train_dataloader.num_workers=2",
    "train_cfg.max_epochs=200",
    "default_hooks.logger.interval=1",
]


def children(process: ToolProcess) -> list[int]:
    """Its data-loader workers."""
    pid = process.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers in /proc")
@pytest.mark.parametrize(
    ("number", "code", "line"),
    [(signal.SIGINT, 130, "stopped by Ctrl-C; "), (signal.SIGTERM, 143, "stopped by SIGTERM; ")],
)
def test_training(number: int, code: int, line: str, tmp_path: Path) -> None:
    run = start_tool("train.py", *ARGUMENTS, "--work-dir", tmp_path / "run", logs=tmp_path)
    run.wait_for_line("[2][2/")
    workers = children(run)
    assert len(workers) == 2
    # The terminal sends Ctrl-C to all of them.
    for pid in [*workers, run.process.pid or 0] if number == signal.SIGINT else [run.process.pid or 0]:
        os.kill(pid, number)
    run.wait(20)
    assert run.exit_code == code
    arguments = shlex.join([*map(str, ARGUMENTS), "--work-dir", str(tmp_path / "run"), "--resume"])
    said = run.errors.read_text()
    assert said.startswith(f"{line}resume from the last checkpoint with: ") and said.count("\n") == 1
    assert said.endswith(f" {ROOT / 'tools/train.py'} {arguments}\n")
    end = time.monotonic() + 10
    while any(map(is_running, workers)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(is_running, workers))


def test_a_killed_worker_is_one_line(tmp_path: Path) -> None:
    run = start_tool("train.py", *ARGUMENTS, "--work-dir", tmp_path / "run", logs=tmp_path)
    run.wait_for_line("[2][2/")
    os.kill(children(run)[0], signal.SIGKILL)
    run.wait(60)
    assert run.exit_code == 1
    [line] = run.errors.read_text().splitlines()
    assert line.startswith("error: DataLoader worker (pid") and "lower batch_size or num_workers" in line


def test_nobody_reads_the_output(tmp_path: Path) -> None:
    """``tool | head``: no traceback, and the exit code of a program that SIGPIPE ends."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, str(ROOT / "tools/sweep.py"), "--help"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, cwd=ROOT, timeout=120)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def failure(code: int, second: int = 0) -> ProcessFailure:
    return ProcessFailure(local_rank=0, pid=1, exitcode=code, error_file=f"none{second}")


@pytest.mark.parametrize(
    ("codes", "line"),
    [
        ({0: 75, 1: -9}, "process 1 of the run was killed by SIGKILL (memory exhausted, or somebody stopped it); "),
        ({0: -11, 1: -15}, "process 0 of the run was killed by SIGSEGV; "),
        ({0: -15}, "process 0 of the run was stopped by SIGTERM; "),
        ({0: 1, 1: 1}, None),
        ({0: 75, 1: 1}, None),
        ({0: 75}, "the connection to a process on another machine broke; "),
        ({2: 77}, "process 2 of the run ended with exit code 77; "),
    ],
)
def test_what_the_launcher_says(codes: dict[int, int], line: str | None) -> None:
    said = describe_failures((rank, failure(code)) for rank, code in codes.items())
    assert said is None if line is None else (said or "").startswith(line) and (said or "").endswith("checkpoint.")


@pytest.mark.parametrize(
    ("program", "lines"),
    [
        (
            "if rank == 1: os.kill(os.getpid(), 9)\ntime.sleep(60)",
            ["error: process 1 of the run was killed by SIGKILL"],
        ),
        ("if rank == 1: sys.exit('error: the second rank says why')\ntime.sleep(60)", ["error: the second rank says"]),
        ("", []),
    ],
)
def test_launcher(program: str, lines: list[str], tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"import os, sys, time\nrank = int(os.environ['RANK'])\n{program}\n")
    command = [sys.executable, str(ROOT / "tools/dist_run.py"), "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = done.stderr.splitlines()
    assert len(found) == len(lines), done.stderr
    assert all(line.startswith(start) for line, start in zip(found, lines, strict=True))
    assert done.returncode == bool(lines)


ARGUMENT_MISTAKES = {
    "train.py": [],
    "test.py": ["config"],
    "sweep.py": ["a.py", "--seeds", "x"],
    "demo.py": ["--seeds", "0"],
    "report.py": [],
    "inspect_model.py": ["a", "b", "--seed", "1.5"],
    "check_data.py": ["a", "--workers", "many"],
    "configs.py": ["no-such-method"],
    "make_glt.py": ["a", "-o", "b", "--preset", "places-glt"],
    "make_lists.py": ["a"],
    "export.py": ["a", "b", "--torchvision-names"],
    "predict.py": ["a", "b", "c", "--topk", "0"],
    "posthoc.py": ["a", "b", "--method", "magic"],
    "detection/predict.py": ["a"],
    "dev/campaign.py": ["--minutes"],
    "dev/readme_tables.py": ["--chek"],
    "dev/tutorials.py": ["no_page.md"],
}


def test_the_launcher_takes_the_name_of_a_tool_for_its_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--standalone", "--nproc-per-node", "2"]
    assert name_script([*options, "train", "train", "--resume"]) == [
        *(*options, str(ROOT / "tools/train.py"), "train", "--resume")
    ]
    for script in (["other.py", "train"], ["-m", "train"], ["nothing"]):
        assert name_script([*options, *script]) == [*options, *script]
    (tmp_path / "train").touch()
    assert name_script(["train"]) == ["train"]


def test_every_tool_is_listed() -> None:
    tools = {str(path.relative_to(ROOT / "tools")) for path in (ROOT / "tools").rglob("*.py")}
    assert tools - {"dist_run.py"} == set(ARGUMENT_MISTAKES)


@pytest.mark.parametrize("tool", ARGUMENT_MISTAKES)
def test_argument_mistakes_are_one_line(tool: str, tmp_path: Path) -> None:
    done = run_tool(tool, *ARGUMENT_MISTAKES[tool], logs=tmp_path)
    assert done.exit_code == 1
    [line] = done.output.splitlines()
    assert line.startswith("error: ")
