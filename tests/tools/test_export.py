"""tools/export.py: a whole classifier out of a work dir, or a backbone alone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest
import torch

from tests.prediction.networks import small_config, write_checkpoint
from tests.tool_process import ROOT, expect_errors, run_tool

TOOL = "export.py"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work dir as a training leaves it."""
    folder = tmp_path_factory.mktemp("export") / "run"
    cfg = small_config("ce/ce")
    write_checkpoint(cfg, folder / "epoch_1.pth")
    (folder / "last_checkpoint").write_text(str(folder / "epoch_1.pth"))
    (folder / "20260101_000000" / "vis_data").mkdir(parents=True)
    cfg.dump(str(folder / "20260101_000000" / "vis_data" / "config.py"))
    return folder


def test_onnx_of_a_work_dir(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.onnx"
    done = run_tool(TOOL, run, out, "--to", "onnx", logs=tmp_path)
    assert done.exit_code == 0, done.output
    printed = done.log.read_text()
    assert "images: RGB pixels, uint8 (batch, 3, 32, 32); probabilities calibrated by temperature" in printed
    assert f"compared by onnxruntime {onnxruntime.__version__} with the model on 8 images" in printed
    assert "with the class names inside" in printed
    metadata = onnxruntime.InferenceSession(str(out)).get_modelmeta().custom_metadata_map
    assert json.loads(metadata["classes"]) == [str(digit) for digit in range(10)]
    [example] = re.findall(r"```python\n(.*?)```", (ROOT / "docs/prediction.md").read_text(), flags=re.DOTALL)
    out.rename(tmp_path / "classifier.onnx")
    shown = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() in set("0123456789")
    kept = json.loads((run / "calibration_epoch_1.json").read_text())
    assert float(metadata["temperature"]) == kept["temperature"] and metadata["calibrated"] == "true"


def test_torchscript_of_a_checkpoint_and_a_config(run: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "elsewhere.pth"
    checkpoint.write_bytes((run / "epoch_1.pth").read_bytes())
    out = tmp_path / "a.pt"
    given: list[str | Path] = [
        "--config",
        ROOT / "configs/ce/ce_r32_digits.py",
        "--cfg-options",
        "model.backbone.depth=20",
    ]
    done = run_tool(TOOL, checkpoint, out, "--to", "torchscript", "--no-calibration", *given, logs=tmp_path)
    assert done.exit_code == 0, done.output
    assert torch.jit.load(out)(torch.zeros(3, 3, 32, 32, dtype=torch.uint8)).sum(dim=1).tolist() == pytest.approx(
        [1.0] * 3
    )


def test_errors(run: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "elsewhere.pth"
    checkpoint.write_bytes((run / "epoch_1.pth").read_bytes())
    expect_errors(
        TOOL,
        {
            (str(run), "a.pt", "--to", "onnx"): "a.pt must end in .onnx, as files of onnx do",
            (str(run), "a.pth", "--logits"): "--logits is for a whole classifier; say which by --to",
            (str(run), "a.safetensors", "--to", "safetensors", "--logits"): "--logits is for a graph",
            (str(run), "a.pt", "--to", "torchscript", "--torchvision-keys"): "--torchvision-keys is for a backbone",
            (str(checkpoint), "a.pt", "--to", "torchscript"): "holds no config of the run; name it: CONFIG.py",
        },
        tmp_path / "logs",
    )
