"""Two trainings never share a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from lt_plugins.errors import UserInputError
from lt_plugins.runs.run_lock import lock_run
from tests.tool_process import ROOT, run_tool


def test_a_second_training_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments: list[str | Path] = [ROOT / "configs/ce/ce_r32_digits.py", "--work-dir", folder]
    with lock_run(folder):
        done = run_tool("train.py", *arguments, logs=tmp_path)
    assert done.exit_code == 1
    assert done.error_lines == [
        f"error: another process trains in {folder}; wait for its end or stop it, or give another --work-dir."
    ]
    assert [path.name for path in folder.iterdir()] == [".train.lock"], "nothing has been written"


def test_it_is_let_go(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="failed"), lock_run(tmp_path):
        raise ValueError("failed")
    with lock_run(tmp_path), pytest.raises(UserInputError, match="another process trains in"), lock_run(tmp_path):
        pass
    with lock_run(tmp_path):
        pass


def test_a_file_is_no_work_dir(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserInputError, match="file is a file; give the path of a folder"), lock_run(tmp_path / "file"):
        pass
