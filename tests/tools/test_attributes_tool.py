"""tools/analysis/attributes.py on a run of one epoch."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from lt_plugins.analysis.trained_model import build_plain_dataset
from lt_plugins.errors import UserInputError
from lt_plugins.models.heads import LPAHead
from lt_plugins.runs.config import load_config
from tests.checkpoints.test_checkpoint import Touch
from tests.tool_process import ROOT, ToolProcess, expect_errors, run_tool
from tests.visualization.test_html import read
from tools.analysis import attributes

CONFIG = ROOT / "configs/lpa/lpa_r32_digits.py"
# What makes the run small; whoever reads its checkpoint needs it as well.
SMALL = [
    "model.backbone.depth=20",
    "model.head.num_attributes=12",
    "train_dataloader.dataset.max_count=20",
    "train_dataloader.dataset.imbalance_factor=10",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Work dir of a run whose attributes are found before the second of its two epochs."""
    work_dir = tmp_path_factory.mktemp("runs") / "lpa"
    hooks = load_config(str(CONFIG)).custom_hooks
    recluster = [hook.type for hook in hooks].index("ReclusterHook")
    done = run_tool(
        "train.py",
        CONFIG,
        "--work-dir",
        work_dir,
        "--cfg-options",
        *SMALL,
        f"custom_hooks.{recluster}.start=1",
        f"custom_hooks.{recluster}.clustering.samples_per_attribute=40",
        f"custom_hooks.{recluster}.num_workers=0",
        "train_cfg.max_epochs=2",
        "train_cfg.val_interval=9",
        logs=work_dir.parent / "logs",
    )
    assert done.exit_code == 0, done.output
    return work_dir


def _show(run: Path, *arguments: str | Path, checkpoint: str | Path = "", config: Path = CONFIG) -> ToolProcess:
    logs = run.parent / "logs"
    options = ["--cfg-options", *SMALL] if config == CONFIG else []
    return run_tool("analysis/attributes.py", config, checkpoint or run, *arguments, *options, logs=logs)


def _expect_errors(messages: dict[tuple[str, ...], str], checkpoint: str | Path, logs: Path) -> None:
    begin = (CONFIG, *([checkpoint] if checkpoint else []))
    lines = {(*begin, *arguments, "--cfg-options", *SMALL): message for arguments, message in messages.items()}
    expect_errors("analysis/attributes.py", lines, logs)


@pytest.fixture(scope="module")
def photo(run: Path) -> Path:
    """An image of another size than the digits, in a file whose name must be escaped."""
    path = run.parent / "a <b> & photo.png"
    image = np.zeros((90, 120, 3), np.uint8)
    image[20:70, 50:60] = (0, 128, 255)  # BGR
    assert cv2.imwrite(str(path), image)
    return path


def test_default_page_of_a_work_dir(run: Path) -> None:
    done = _show(run)
    assert done.exit_code == 0, done.output
    out = run / "attributes_epoch_2"
    assert f"wrote {out / 'index.html'} and beside it class_" in done.output
    reader = read(out / "index.html")
    pictures = {path.name for path in out.glob("*.png")}
    assert pictures == {"class_9_9.png", "class_8_8.png", "class_7_7.png", "attributes.png", "all_classes_1.png"}
    assert len(reader.links) == len(pictures)
    assert "epoch_2.pth, after epoch 2" in reader.text
    assert "12 attributes" in reader.text and "Searched: the 78 images of the train set" in reader.text
    assert "What describes each class" in reader.text
    # One row a class and one for the header, five attributes each with their scores.
    assert reader.tags.count("tr") == 11
    assert len(re.findall(r"\d+ \([+-]\d+ %\)", reader.text)) == 10 * 5
    for name in pictures:
        assert min(Image.open(out / name).size) > 200


def test_images_classes_and_attributes(run: Path, photo: Path, tmp_path: Path) -> None:
    digit = run.parent / "digit.png"
    cfg = load_config(str(CONFIG))
    picture = build_plain_dataset(cfg, "test")[3]["inputs"].numpy().transpose(1, 2, 0)
    assert cv2.imwrite(str(digit), picture)
    done = _show(
        run,
        *("--images", photo, digit, "--classes", "9", "3", "--attributes", "11", "0"),
        *("--split", "test", "--top", "2", "--max-per-class", "1", "-o", tmp_path / "new/page", "--device", "cpu"),
        checkpoint=run / "epoch_2.pth",
    )
    assert done.exit_code == 0, done.output
    reader = read(tmp_path / "new/page/index.html")
    assert (
        f"Image {photo}" in reader.text and "Class 3" in reader.text and "the 500 images of the test set" in reader.text
    )
    names = ["image_1_a_b_photo", "image_2_digit", "class_9_9", "class_3_3", "attributes", "all_classes_1"]
    assert sorted(path.stem for path in (tmp_path / "new/page").glob("*.png")) == sorted(names)
    # The photograph is shown in its own colours: orange, not blue.
    pixels = np.asarray(Image.open(tmp_path / "new/page/image_1_a_b_photo.png").convert("RGB")).astype(int)
    assert (np.abs(pixels - (255, 128, 0)).max(axis=2) < 12).sum() > 500
    assert not (np.abs(pixels - (0, 128, 255)).max(axis=2) < 12).any()


def test_queries_that_cannot_be_answered(run: Path, tmp_path: Path) -> None:
    _expect_errors(
        {
            ("--classes", "nine"): "--classes 'nine' is no class of the data set; there are 0, 1, 2, 3, 4, ...",
            ("--classes", "10"): "--classes 10 is out of range; the model has classes 0 to 9",
            ("--attributes", "12"): "--attributes 12 is out of range; the model has 0 to 11",
            ("--images", "/nowhere/a.png"): "image /nowhere/a.png does not exist",
            ("--images", str(CONFIG)): f"cannot read image {CONFIG}",
            ("--top", "0"): "--top 0 and --max-per-class 2 must be 1 or more",
            ("-o", str(CONFIG)): f"folder {CONFIG} cannot be made (File exists)",
        },
        checkpoint=run,
        logs=tmp_path,
    )


def test_a_class_that_no_attribute_describes() -> None:
    head = LPAHead(num_classes=4, in_channels=2, num_attributes=3, attributes_per_class=1)
    head.attribute_labels[:3, 0] = True
    names = ["maple_tree", "1", "oak_tree", "3"]
    assert [attributes.find_class(query, names, head) for query in ("oak_tree", "0")] == [2, 0]
    with pytest.raises(UserInputError, match="class 3 had no training image"):
        attributes.find_class("3", names, head)


def test_checkpoints_that_cannot_be_shown(run: Path, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    good = torch.load(run / "epoch_2.pth", weights_only=False)
    torch.save({**good, "meta": {"payload": Touch(touched)}}, tmp_path / "malicious.pth")
    cut = (run / "epoch_2.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(cut[: len(cut) // 2])
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone/last_checkpoint").write_text("/nowhere/epoch_7.pth")
    (tmp_path / "empty").mkdir()
    bare = {key: value for key, value in good["state_dict"].items() if key != "head.prototypes"}
    torch.save({"state_dict": bare}, tmp_path / "bare.pth")
    messages = {
        run / "epoch_1.pth": "(epoch 1) has no pseudo-attributes yet: ReclusterHook first clusters before epoch 6",
        tmp_path / "malicious.pth": "allow that with --allow-pickle",
        tmp_path / "cut.pth": "is cut off",
        tmp_path / "bare.pth": "is a checkpoint of another model",
        tmp_path / "gone": "names /nowhere/epoch_7.pth, which is gone",
        tmp_path / "empty": "has no checkpoint yet",
        tmp_path / "missing.pth": "missing.pth does not exist",
    }
    _expect_errors({(str(path),): message for path, message in messages.items()}, checkpoint="", logs=tmp_path / "logs")
    assert not touched.exists()


def test_configs_that_cannot_be_shown(run: Path, tmp_path: Path) -> None:
    done = _show(run, config=ROOT / "configs/paco/paco_r32_digits.py")
    (line,) = done.error_lines
    assert "model.head is PaCoHead, which learns no pseudo-attributes; use one with LPAHead" in line
    folder = tmp_path / "folder.py"
    folder.write_text(
        f"_base_ = {str(CONFIG)!r}\n"
        "train_dataloader = dict(dataset=dict(dataset=dict(_delete_=True, type='FolderDataset', data_root='/nowhere', "
        "data_prefix='train')))\n"
        "model = dict(backbone=dict(depth=20), head=dict(num_attributes=12))\n"
    )
    done = _show(run, config=folder)
    assert done.exit_code == 1
    assert done.error_lines == ["error: folder /nowhere/train not found; set data_root to the folder that holds train/"]
