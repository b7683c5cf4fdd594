"""mmpretrain's own tools work on the configs here; they are run as they are installed, in this process."""

from __future__ import annotations

import re
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
import torch
from mmengine.dataset import Compose, default_collate
from mmengine.utils.dl_utils import is_norm
from mmpretrain.apis import get_model
from mmpretrain.registry import TRANSFORMS
from PIL import Image
from torch import Tensor

from lt_plugins.runs.config import load_config
from tests.miniatures import write_image
from tests.tool_process import ROOT

TOOLS = Path(mmpretrain.__file__).parent / ".mim/tools"
CE, LPA = "configs/ce/ce_r32_digits.py", "configs/demo/lpa_r20_digits.py"
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


@pytest.mark.parametrize("config", [CE, LPA, "configs/lcreg/lcreg_r32_cifar10-lt.py"])
def test_vis_scheduler(config: str, run_tool: RunTool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plt, "savefig", partial(_note_curve, tmp_path))
    overrides = [f"work_dir={tmp_path / 'run'}"]
    options = ["--not-show", "--dataset-size", "512", "--save-path", str(tmp_path / "curve.png")]
    run_tool("visualization/vis_scheduler.py", config, *options, "--cfg-options", *overrides)
    curve = np.load(tmp_path / "curve.npy")
    assert curve.max() > 10 * curve.min() > 0, "the learning rate falls"


def _note_curve(folder: Path, path: Path) -> None:
    np.save(folder / "curve.npy", plt.gcf().axes[0].lines[0].get_ydata())


@pytest.mark.parametrize("config", [CE, LPA, "configs/mislas/mislas_r32_cifar10-lt.py"])
def test_get_flops(config: str, run_tool: RunTool, capsys: pytest.CaptureFixture[str]) -> None:
    run_tool("analysis_tools/get_flops.py", config, "--shape", "32")
    assert re.search(r"Params: \d\.\d+M", capsys.readouterr().out)


def test_train_test_and_looks_at_the_result(run_tool: RunTool, tmp_path: Path) -> None:
    """The chain of a user who knows mmpretrain: train, test, confusion matrix, metric, t-SNE."""
    work_dir, plain = tmp_path / "run", ["model.backbone.depth=20", f"work_dir={tmp_path / 'run'}"]
    small = ["train_dataloader.dataset.max_count=8", "train_dataloader.dataset.imbalance_factor=8"]
    run_tool("train.py", CE, "--cfg-options", *plain, *small, "train_cfg.max_epochs=1")
    checkpoint, scores = str(work_dir / "epoch_1.pth"), str(work_dir / "scores.pkl")
    run_tool("test.py", CE, checkpoint, "--out", scores, "--cfg-options", *plain)
    run_tool("analysis_tools/eval_metric.py", scores, "--metric", "type=Accuracy", "topk=1")
    run_tool("analysis_tools/analyze_results.py", CE, scores, "--out-dir", str(work_dir / "best"), "--topk", "1")
    assert len(list((work_dir / "best").rglob("*.png"))) == 2
    picture = work_dir / "confusion.png"
    run_tool("analysis_tools/confusion_matrix.py", CE, checkpoint, "--show-path", str(picture), "--cfg-options", *plain)
    assert picture.is_file()
    options = ["--max-num-class", "3", "--max-num-samples", "4", "--perplexity", "3", "--work-dir", str(work_dir)]
    run_tool("visualization/vis_tsne.py", CE, "--checkpoint", checkpoint, *options, "--cfg-options", *plain)
    (features,) = work_dir.glob("tsne_*/feat_2.npy")
    assert np.load(features).shape == (12, 64)


def test_cross_validation(run_tool: RunTool, tmp_path: Path) -> None:
    """Each fold is trained and tested on parts of the long-tailed training set."""
    overrides = ["model.backbone.depth=20", "train_cfg.max_epochs=1", "test_dataloader=None", "test_cfg=None"]
    small = [
        "train_dataloader.dataset.max_count=8",
        "train_dataloader.dataset.imbalance_factor=1",
        "test_evaluator=None",
    ]
    options = ["--num-splits", "2", "--fold", "0", "--work-dir", str(tmp_path), "--no-persistent-workers"]
    run_tool("kfold-cross-valid.py", CE, *options, "--cfg-options", *overrides, *small)
    (log,) = tmp_path.glob("fold0/*/vis_data/scalars.json")
    assert "shot/accuracy_top1" in log.read_text()


@pytest.mark.parametrize("config", [CE, LPA, "configs/lcreg/lcreg_r32_cifar10-lt.py:stage1"])
def test_what_vis_cam_calls(config: str, tmp_path: Path) -> None:
    """It needs the package grad-cam: the pipeline on a file, the last norm layer, logits of a plain call."""
    cfg = load_config(str(ROOT / config))
    model = get_model(cfg, pretrained=False).eval()
    write_image(tmp_path / "query.png", seed=0, size=(32, 32))
    pipeline = Compose([TRANSFORMS.build(step) for step in cfg.test_dataloader.dataset.pipeline])
    data = model.data_preprocessor(default_collate([pipeline({"img_path": str(tmp_path / "query.png")})]), False)
    layer = [layer for _, layer in model.backbone.named_modules(prefix="backbone") if is_norm(layer)][-1]
    seen: list[Tensor] = []
    layer.register_forward_hook(lambda *call: seen.append(call[-1]))
    logits = model(data["inputs"])
    assert logits.shape == (1, 10)
    (gradient,) = torch.autograd.grad(logits[0, 3], seen)
    assert gradient.abs().sum() > 0


def test_print_config(run_tool: RunTool, capsys: pytest.CaptureFixture[str]) -> None:
    run_tool("misc/print_config.py", LPA)
    assert "LPAHead" in capsys.readouterr().out
