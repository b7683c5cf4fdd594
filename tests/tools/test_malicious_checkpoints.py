"""No tool runs the pickle in a checkpoint unless told to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tool_process import ROOT, run_tool

CONFIG = str(ROOT / "configs/lpa/lpa_r32_digits.py")
EVIL = "EVIL"  # stands for the path of the checkpoint
# What goes before the arguments, if not CONFIG.
CONFIGS = {
    "make_glt.py": str(ROOT / "docs/images"),
    "sweep.py": str(ROOT / "configs/detection/faster-rcnn_r18-c4_200i_voc07-part.py"),
    "export.py": EVIL,
}

# How each tool that reads checkpoints is called; ``--resume`` alone follows the file last_checkpoint of the work dir.
COMMANDS = {
    "train.py": [
        ["--resume", EVIL],
        ["--resume"],
        ["--cfg-options", f"load_from={EVIL}"],
        ["--cfg-options", "model.backbone.init_cfg.type=Pretrained", f"model.backbone.init_cfg.checkpoint={EVIL}"],
    ],
    "test.py": [[EVIL]],
    "inspect_model.py": [[EVIL]],
    "make_glt.py": [["-o", "out", "--features", EVIL], ["-o", "out", "--features", CONFIG, EVIL]],
    "posthoc.py": [[EVIL]],
    "predict.py": [[EVIL, str(ROOT / "docs/images/class_accuracy_digits.png")]],
    "detection/predict.py": [[EVIL, str(ROOT / "docs/images/class_accuracy_digits.png"), "-o", "out"]],
    "sweep.py": [["--backbones", EVIL]],
    "export.py": [["out.pth"]],
}
CASES = [(tool, arguments) for tool, calls in COMMANDS.items() for arguments in calls]


class Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_every_tool_that_reads_checkpoints_is_covered() -> None:
    for path in (ROOT / "tools").rglob("*.py"):
        name, text = str(path.relative_to(ROOT / "tools")), path.read_text()
        assert not re.search(r"torch\.load|pickle\.load|_load_checkpoint", text), f"{name} loads by itself"
        if re.search(r"load_checkpoint|load_trained_model|load_weights|\.load_from|guard_pickles", text):
            assert "guard_pickles(" in text, f"{name} reads checkpoints without guard_pickles"
            assert name in COMMANDS
        assert ("open_classifier(" in text) <= (name in COMMANDS)


@pytest.mark.parametrize(("tool", "arguments"), CASES, ids=[f"{tool} {' '.join(call)}" for tool, call in CASES])
def test_nothing_is_executed(tool: str, arguments: list[str], tmp_path: Path) -> None:
    marker, evil = tmp_path / "executed", tmp_path / "epoch_1.pth"
    torch.save({"state_dict": Touch(marker), "meta": {}}, evil)
    (tmp_path / "last_checkpoint").write_text(str(evil))
    if tool == "train.py":
        work_dir = tmp_path if "--resume" in arguments else tmp_path / "run"  # a fresh start over a run is refused
        arguments = ["--work-dir", str(work_dir), *arguments]
    arguments = [value.replace(EVIL, str(evil)) for value in (CONFIGS.get(tool, CONFIG), *arguments)]
    done = run_tool(tool, *arguments, logs=tmp_path / "logs")
    assert not marker.exists()
    assert done.exit_code == 1, done.output
    assert len(done.error_lines) == 1
    assert str(evil) in done.error_lines[0]
    assert "--allow-pickle" in done.error_lines[0]
    assert "Traceback" not in done.output


def test_allowed_on_request(tmp_path: Path) -> None:
    marker, trusted = tmp_path / "executed", tmp_path / "trusted.pth"
    torch.save({"state_dict": {}, "meta": Touch(marker)}, trusted)
    done = run_tool(
        "test.py", CONFIG, trusted, "--allow-pickle", "--work-dir", tmp_path, logs=tmp_path / "logs"
    )  # an empty checkpoint still fits no model
    assert marker.exists()
    assert done.exit_code == 1
    assert "checkpoint of another model" in done.error_lines[0]
