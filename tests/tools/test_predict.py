"""tools/predict.py on image files, by a work dir and by config and checkpoint."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.prediction.networks import small_config, write_checkpoint, write_digits
from tests.tool_process import ROOT, expect_errors, run_tool

TOOL = "predict.py"
CONFIG = ROOT / "configs/ce/ce_r32_digits.py"
SMALL = ("--cfg-options", "model.backbone.depth=20")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work dir as a training leaves it, and beside it a folder of images."""
    folder = tmp_path_factory.mktemp("predict") / "run"
    cfg = small_config("ce/ce")
    write_checkpoint(cfg, folder / "epoch_1.pth")
    (folder / "last_checkpoint").write_text(str(folder / "epoch_1.pth"))
    (folder / "20260101_000000" / "vis_data").mkdir(parents=True)
    cfg.dump(str(folder / "20260101_000000" / "vis_data" / "config.py"))
    write_digits(folder.parent / "images", 10)
    (folder.parent / "images" / "sub").mkdir()
    (folder.parent / "images" / "004.png").rename(folder.parent / "images" / "sub" / "a.png")
    (folder.parent / "images" / "004.png").write_text("no image")
    return folder


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [*csv.DictReader(file)]


def test_csv_and_sheet(run: Path, tmp_path: Path) -> None:
    out, sheet = tmp_path / "new" / "p.csv", tmp_path / "s.html"
    images = run.parent / "images"
    options = ["--topk", "3", "--batch-size", "4", "--workers", "2"]
    done = run_tool(TOOL, run, images, "--out", out, "--sheet", sheet, *options, logs=tmp_path)
    assert done.exit_code == 0, done.output
    rows = read(out)
    assert [Path(row["image"]).name for row in rows] == [
        *(f"{number:03d}.png" for number in range(10)),
        "a.png",
    ]
    broken = rows.pop(4)
    assert broken["error"] == "is in no known image format" and not broken["class"]
    for row in rows:
        values = [float(row[f"calibrated_confidence{rank}"]) for rank in ("", "_2", "_3")]
        assert values == sorted(values, reverse=True) and 0 < sum(values) < 1
    errors = done.errors.read_text()
    assert "11 images in" in errors and "probabilities calibrated by temperature" in errors
    assert "500 validation images, which are its test images" in errors
    assert f"kept in {run / 'calibration_epoch_1.json'}" in errors
    assert f"warning: 1 of 11 images cannot be read (column error): {images / '004.png'} (is in no known" in errors
    assert sheet.read_text().count("<figure>") == 10
    assert not [*tmp_path.glob("new/*incomplete*")]

    # The same model by its config, without calibration, as JSON lines.
    lines = tmp_path / "p.jsonl"
    checkpoint = run / "epoch_1.pth"
    options = ["--no-calibration", "--out", str(lines), *SMALL]
    done = run_tool(TOOL, CONFIG, checkpoint, images, *options, logs=tmp_path)
    assert done.exit_code == 0, done.output
    found = {item["image"]: item for item in map(json.loads, lines.read_text().splitlines())}
    assert {row["image"]: row["class"] for row in rows} == {k: v["class"] for k, v in found.items() if "class" in v}
    assert all("confidence" in item or "error" in item for item in found.values())
    assert "probabilities as the model gives them (--no-calibration)" in done.errors.read_text()


def test_no_calibration_where_there_are_no_images(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    for path in copy.glob("calibration*"):
        path.unlink()
    data = ["val_dataloader.dataset.indices=[0,1]"]
    out = tmp_path / "p.csv"
    image = run.parent / "images" / "000.png"
    done = run_tool(TOOL, copy, image, "--out", out, "--cfg-options", *data, logs=tmp_path)
    assert done.exit_code == 0, done.output
    assert [*read(out)[0]] == ["image", "class", "confidence", "error"]
    assert "probabilities not calibrated: there are 2 validation images, fewer than 10" in done.errors.read_text()


def test_images_of_several_sizes(run: Path, tmp_path: Path) -> None:
    """Without --out each line is a prediction; what else is to say is on stderr."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "notes.txt").touch()
    for side in (32, 48):
        Image.new("RGB", (side, side)).save(tmp_path / "images" / f"{side}.png")
    given = (tmp_path / "images", run.parent / "images" / "004.png")
    done = run_tool(
        TOOL, run / "epoch_1.pth", *given, "--no-calibration", "--workers", "0", "--topk", "2", logs=tmp_path / "logs"
    )
    assert done.exit_code == 0, done.output
    errors = done.errors.read_text()
    assert "warning: the images reach the model in different sizes" in errors
    assert f"warning: {tmp_path / 'images'}: 1 file left out: 1 .txt (notes.txt)" in errors
    lines = done.log.read_text().splitlines()
    assert [line.count("%)") for line in lines] == [2, 2, 0]
    assert lines[2] == f"{given[1]}: cannot be read (is in no known image format)"


def test_stopped(run: Path, tmp_path: Path) -> None:
    """The rows so far stay beside the file, and an older file stays what it was."""
    out = tmp_path / "p.csv"
    out.write_text("older")
    read_end, write_end = os.pipe()
    images = run.parent / "images"
    command = [sys.executable, str(ROOT / "tools" / TOOL), str(run), "-", "--out", str(out), "--batch-size", "1"]
    with subprocess.Popen([*command, "--workers", "0"], stdin=read_end, stderr=subprocess.PIPE) as process:
        os.close(read_end)
        os.write(write_end, f"{images / '000.png'}\n{images / '001.png'}\n{images / '002.png'}\n".encode())
        part = tmp_path / f"p.csv.{process.pid}.incomplete"
        for _ in range(600):
            if part.exists() and len(part.read_text().splitlines()) >= 4:
                break
            try:
                process.wait(0.1)
                raise AssertionError(process.stderr and process.stderr.read())
            except subprocess.TimeoutExpired:
                continue
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=60)[1].decode()
        os.close(write_end)
    assert process.returncode == 130
    assert f"the rows of the first 3 images are in {part}" in errors and "stopped by Ctrl-C" in errors
    assert "Traceback" not in errors
    assert out.read_text() == "older"
    assert [row["class"] != "" for row in read(part)] == [True] * 3


def test_errors(run: Path, tmp_path: Path) -> None:
    image = str(run.parent / "images" / "000.png")
    broken = str(run.parent / "images" / "004.png")
    run_and_image = (str(run), image)
    expect_errors(
        TOOL,
        {
            (str(CONFIG), str(run)): "names no image: give WORK_DIR IMAGES, or CONFIG.py CHECKPOINT IMAGES",
            (str(run), str(tmp_path / "gone")): "gone does not exist",
            (*run_and_image, "--sheet", image): "is the same file as the input",
            (*run_and_image, "--data", "photos"): "is a work dir, which names its data",
            (str(tmp_path), image): "holds no config of the run; name it: CONFIG.py",
            (str(run), broken, "--no-calibration"): "1 of 1 images cannot be read",
        },
        tmp_path / "logs",
    )
