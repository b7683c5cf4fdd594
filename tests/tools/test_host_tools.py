"""mmpretrain's own tools work on the configs here; they are run as they are installed, in this process."""

from __future__ import annotations

import runpy
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import mmpretrain
import numpy as np
import pytest
from PIL import Image

from tests.tool_process import ROOT

TOOLS = Path(mmpretrain.__file__).parent / ".mim/tools"
CE, LPA = "configs/baselines/ce/ce_r32_digits.py", "configs/demo/lpa_r20_digits.py"
RunTool = Callable[..., None]


@pytest.fixture
def run_tool(monkeypatch: pytest.MonkeyPatch) -> RunTool:
    """Run a tool by its path below the installed tools."""

    def run(tool: str, *arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", [tool, *arguments])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about its own use of others
            runpy.run_path(str(TOOLS / tool), run_name="__main__")

    monkeypatch.chdir(ROOT)
    return run


@pytest.fixture
def old_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """browse_dataset calls a private function as matplotlib had it when the tool was written."""
    tight = pytest.importorskip("matplotlib._tight_bbox")
    adjust = tight.adjust_bbox
    monkeypatch.setattr(tight, "adjust_bbox", lambda figure, box: adjust(figure, box, figure.canvas.get_renderer()))


@pytest.mark.usefixtures("old_matplotlib")
@pytest.mark.parametrize(("config", "phase"), [(CE, "train"), (CE, "val"), (LPA, "train")])
@pytest.mark.parametrize("mode", ["original", "pipeline"])
def test_browse_dataset(config: str, phase: str, mode: str, run_tool: RunTool, tmp_path: Path) -> None:
    options = ["--not-show", "--show-number", "1", "--phase", phase, "--mode", mode, "--output-dir", str(tmp_path)]
    run_tool("visualization/browse_dataset.py", config, *options)
    assert np.asarray(Image.open(tmp_path / "0.jpg")).std() > 1


@pytest.mark.parametrize("config", [CE, LPA, "configs/lcreg/lcreg_r32_cifar10-lt100.py"])
def test_vis_scheduler(config: str, run_tool: RunTool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plt, "savefig", partial(_note_curve, tmp_path))
    overrides = [f"work_dir={tmp_path / 'run'}"]
    options = ["--not-show", "--dataset-size", "512", "--save-path", str(tmp_path / "curve.png")]
    run_tool("visualization/vis_scheduler.py", config, *options, "--cfg-options", *overrides)
    curve = np.load(tmp_path / "curve.npy")
    assert curve.max() > 10 * curve.min() > 0, "the learning rate falls"


def _note_curve(folder: Path, path: Path) -> None:
    np.save(folder / "curve.npy", plt.gcf().axes[0].lines[0].get_ydata())


def test_get_flops(run_tool: RunTool, capsys: pytest.CaptureFixture[str]) -> None:
    run_tool("analysis_tools/get_flops.py", CE, "--shape", "32")
    assert "Params: 0.464M" in capsys.readouterr().out


def test_print_config(run_tool: RunTool, capsys: pytest.CaptureFixture[str]) -> None:
    run_tool("misc/print_config.py", LPA)
    assert "LPAHead" in capsys.readouterr().out
