"""The command that resumes a run is the one that was typed, with --resume."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

from lt_plugins.runs.typed_command import resume_command, typed_command
from tests.tool_process import ROOT

PROGRAM = "from lt_plugins.runs.typed_command import resume_command; print(resume_command())"


@pytest.mark.parametrize(
    ("typed", "resumed"),
    [
        ("a.py:lt50", "a.py:lt50 --resume"),
        ("a.py --resume", "a.py --resume"),
        ("--resume old/epoch_3.pth a.py --work-dir x", "a.py --work-dir x --resume"),
        ("a.py --resume=old --seed 1", "a.py --seed 1 --resume"),
        ("a.py --overwrite --cfg-options a=1 b=2", "a.py --cfg-options a=1 b=2 --resume"),
        ("a.py --data 'my  photos; rm'", "a.py --data 'my  photos; rm' --resume"),
    ],
)
def test_resume_command(typed: str, resumed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    arguments = shlex.split(typed)
    monkeypatch.setattr(sys, "argv", ["tools/train.py", *arguments])
    monkeypatch.setattr(sys, "orig_argv", [".venv/bin/python", "-X", "dev", "tools/train.py", *arguments])
    assert resume_command() == f".venv/bin/python -X dev tools/train.py {resumed}"
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert resume_command() == f"OMP_NUM_THREADS=3 .venv/bin/python -X dev tools/train.py {resumed}"


def test_another_program_that_calls_the_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    """The arguments of the process are not those of the tool then."""
    monkeypatch.setattr(sys, "argv", ["tools/train.py", "a.py"])
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "pytest"])
    assert typed_command() == ["python", "tools/train.py", "a.py"]
    monkeypatch.setenv("LT_PLUGINS_COMMAND", r"tools/dist_train.sh a.py 2 --data my\ \ photos ")
    assert typed_command() == ["tools/dist_train.sh", "a.py", "2", "--data", "my  photos"]


def test_as_a_shell_starts_it() -> None:
    command = [sys.executable, "-c", PROGRAM, "a b", "--resume", "old"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={}, check=True)
    assert done.stdout == shlex.join([sys.executable, "-c", PROGRAM, "a b", "--resume"]) + "\n"
