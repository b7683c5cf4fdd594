"""Losses, samplers, clustering and metrics work in a process that has torch, numpy and scipy alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = ("tests/plain/training.py", "tests/plain/page.py")


def test_without_openmmlab(tmp_path: Path) -> None:
    """Runs the tests of ``tests/plain`` in a process of their own; what fails there is in the message."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.plain.without_openmmlab", "--noconftest"]
    command += ["-p", "no:cacheprovider", f"--basetemp={tmp_path / 'plain'}", *FILES]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout, done.stdout
