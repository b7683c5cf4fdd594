"""Tools answer at once what needs no computation, and can be stopped while they import."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.tool_process import ROOT

TOOLS = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("tools/*.py", "tools/detection/*.py", "tools/dev/*.py")
    for path in ROOT.glob(pattern)
)
HEAVY = (
    *("torch", "torchvision", "mmengine", "mmcv", "mmpretrain", "mmdet", "numpy", "scipy", "sklearn", "cv2"),
    *("matplotlib", "pandas", "faiss", "tensorboard"),
)
LAUNCHER = "tools/dist_run.py"
CONFIG = "configs/ce/ce_r32_digits.py"

# Runs a tool, and reports what has been imported when it has ended.
RUN = f"""
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print("imported:", *(name for name in {HEAVY!r} if name in sys.modules))
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", RUN, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("tool", TOOLS)
def test_help_imports_nothing_heavy(tool: str) -> None:
    done = run(tool, "--help")
    assert done.returncode == 0, done.stderr
    *text, imported = done.stdout.splitlines()
    assert text and len(text[0]) > 10
    assert imported == "imported:"


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if tool != LAUNCHER])  # whose options torchrun knows
def test_a_wrong_option_is_refused_before_anything_heavy_is_imported(tool: str) -> None:
    done = run(tool, "--no-such-option")
    assert done.returncode == 1
    assert re.fullmatch(rf"error: .*; see {Path(tool).name} --help\n", done.stderr)
    assert done.stdout.splitlines() == ["imported:"]


def test_a_malformed_override_is_refused_before_anything_heavy_is_imported() -> None:
    done = run("tools/train.py", CONFIG, "--cfg-options", "randomness.seed")
    assert (done.returncode, done.stdout) == (1, "imported:\n")
    assert done.stderr == "error: --cfg-options 'randomness.seed' is not key=value, like randomness.seed=1.\n"


def test_no_tool_is_called_like_a_module_of_the_standard_library() -> None:
    """Python looks for modules beside the script first, so that torch would import tools/inspect.py."""
    assert not {path.stem for path in (ROOT / "tools").rglob("*.py")} & sys.stdlib_module_names


def start(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a group of its own, to which the terminal would send Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite in the background ignores it
    )


def wait_for_library(pid: int, library: str) -> None:
    """Wait until a process has loaded a library, by the part of its path."""
    end = time.monotonic() + 120
    while library not in Path(f"/proc/{pid}/maps").read_text():
        assert time.monotonic() < end, f"{library} was never loaded"
        time.sleep(0.002)


def child_of(pid: int) -> int:
    end = time.monotonic() + 120
    while not (children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        assert time.monotonic() < end, "no child was started"
        time.sleep(0.002)
    child = int(children[0])
    # Until it runs its own program it is a copy of its parent, with all that has loaded.
    while LAUNCHER in Path(f"/proc/{child}/cmdline").read_text():
        assert time.monotonic() < end, "the child has not started its program"
        time.sleep(0.002)
    return child


linux_only = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="sees in /proc what is imported")


@linux_only
@pytest.mark.parametrize(
    ("library", "number", "name"),
    [
        ("numpy", signal.SIGINT, "Ctrl-C"),
        ("libtorch_cpu", signal.SIGINT, "Ctrl-C"),
        ("cv2", signal.SIGINT, "Ctrl-C"),
        ("sklearn", signal.SIGINT, "Ctrl-C"),
        ("libtorch_cpu", signal.SIGTERM, "SIGTERM"),
    ],
)
def test_a_stop_during_imports_is_one_line(library: str, number: int, name: str) -> None:
    process = start("tools/train.py", CONFIG)
    wait_for_library(process.pid, library)
    process.send_signal(number)
    out, errors = process.communicate(timeout=60)
    assert (process.returncode, out) == (128 + number, "")
    assert errors.startswith(f"stopped by {name}; resume from the last checkpoint with: ")
    assert errors.endswith(f" tools/train.py {CONFIG} --resume\n") and errors.count("\n") == 1


@linux_only
@pytest.mark.parametrize("in_child", [False, True])
def test_a_stop_during_imports_of_the_launcher_and_its_processes_is_one_line(in_child: bool) -> None:
    script = ("--standalone", "--nproc-per-node", "1", "tools/train.py", CONFIG, "--launcher", "pytorch")
    process = start(LAUNCHER, *script)
    wait_for_library(child_of(process.pid) if in_child else process.pid, "libtorch_cpu")
    os.killpg(process.pid, signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    # The host's greeting comes where the child is quicker than the signal.
    assert (process.returncode, out.replace("Could not import OneDL\n", "")) == (130, "")
    assert errors == "stopped by Ctrl-C; the same command with --resume continues from the last checkpoint\n"
