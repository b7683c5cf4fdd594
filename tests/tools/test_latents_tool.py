"""tools/analysis/latents.py on models with random weights, as checkpoints of both stages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from lt_plugins.analysis.latents import effective_number, measure_latents
from lt_plugins.analysis.trained_model import build_plain_dataset
from lt_plugins.datasets.labels import get_class_counts, get_labels
from lt_plugins.errors import UserInputError
from lt_plugins.models.build import build_model
from lt_plugins.models.structures import ClassDistribution
from lt_plugins.runs.config import load_config
from tests.tool_process import ROOT, expect_errors, start_tool
from tests.visualization.test_html import read
from tools.analysis.latents import find_class

TOOL = "analysis/latents.py"
STAGE_1 = ROOT / "configs/lcreg/lcreg_r32_digits.py:stage1"
STAGE_2 = ROOT / "configs/lcreg/lcreg_r32_digits.py"
# What makes the models small; whoever reads their checkpoints needs it as well.
OVERRIDES = {
    "model.backbone.depth": 20,
    "model.head.num_latents": 9,
    "train_dataloader.dataset.max_count": 110,
    "train_dataloader.dataset.imbalance_factor": 55,
}
SMALL = ["--cfg-options", *(f"{key}={value}" for key, value in OVERRIDES.items())]


def _model(config: Path) -> Any:
    torch.manual_seed(0)
    model: Any = build_model(load_config(str(config), OVERRIDES))
    with torch.no_grad():
        model.head.latent_pool.latents.mul_(12)  # similarities all over the range
    return model


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a run in two stages leaves it; only the root of the model of stage 1 knows the class counts."""
    work_dir = tmp_path_factory.mktemp("runs") / "lcreg"
    counts = get_class_counts(build_plain_dataset(load_config(str(STAGE_1), OVERRIDES), "train"), 10)
    for config, folder, epoch in ((STAGE_1, work_dir / "stage1", 30), (STAGE_2, work_dir, 10)):
        folder.mkdir(parents=True, exist_ok=True)
        model = _model(config)
        model.class_distribution = ClassDistribution(10)
        model.class_distribution.set_counts(counts)
        torch.save({"state_dict": model.state_dict(), "meta": {"epoch": epoch}}, folder / f"epoch_{epoch}.pth")
        (folder / "last_checkpoint").write_text(str(folder / f"epoch_{epoch}.pth"))
    return work_dir


@pytest.fixture(scope="module")
def photo(work_dir: Path) -> Path:
    """An image of another size than the digits, in a file whose name must be escaped."""
    path = work_dir.parent / "a <b> & photo.png"
    image = np.zeros((90, 120, 3), np.uint8)
    image[20:70, 50:60] = (0, 128, 255)  # BGR
    assert cv2.imwrite(str(path), image)
    return path


def test_pages_of_both_stages(work_dir: Path, photo: Path, tmp_path: Path) -> None:
    options = ["--classes", "9", "3", "--latents", "8", "0", "--split", "test", "--top", "2", "--device", "cpu"]
    calls: list[list[str | Path]] = [
        [STAGE_1, work_dir / "stage1"],
        [STAGE_2, work_dir / "epoch_10.pth", "--images", photo, photo, *options, "-o", tmp_path / "new/page"],
    ]
    started = [start_tool(TOOL, *call, *SMALL, logs=tmp_path / str(number)) for number, call in enumerate(calls)]
    for tool in started:
        assert tool.wait().exit_code == 0, tool.output

    out = work_dir / "stage1/latents_epoch_30"
    assert started[0].log.read_text().splitlines()[-1] == (
        f"wrote {out / 'index.html'} and beside it frequent_and_rare.png, latents.png, usage.png"
    )
    reader = read(out / "index.html")
    assert "epoch_30.pth, after epoch 30" in reader.text and len(reader.links) == 3
    assert "no class counts" not in reader.text
    for name in ("frequent_and_rare.png", "latents.png", "usage.png"):
        assert min(Image.open(out / name).size) > 300
    _check_numbers(reader.text, reader.tables[0])

    reader = read(tmp_path / "new/page/index.html")
    assert "Images" in reader.text and f"What rebuilds {photo}, {photo}" in reader.text
    assert "the 500 images of the test set" in reader.text and len(reader.tables[0]) == 10
    names = ["images_1", "class_9_9", "class_3_3", "latents", "usage"]
    assert sorted(path.stem for path in (tmp_path / "new/page").glob("*.png")) == sorted(names)
    # The photograph is shown in its own colours: orange, not blue.
    pixels = np.asarray(Image.open(tmp_path / "new/page/images_1.png").convert("RGB")).astype(int)
    assert (np.abs(pixels - (255, 128, 0)).max(axis=2) < 12).sum() > 500
    assert not (np.abs(pixels - (0, 128, 255)).max(axis=2) < 12).any()


def _check_numbers(text: str, table: list[list[str]]) -> None:
    """The numbers of the page are those of the pass over the training set."""
    dataset = build_plain_dataset(load_config(str(STAGE_1), OVERRIDES), "train")
    measured = measure_latents(_model(STAGE_1), dataset, 1)
    summary = re.search(
        r"used: ([\d.]+) of 9; at a single place, ([\d.]+) on average .* between ([\d.]+) and ([\d.]+),", text
    )
    assert summary is not None
    expected = [float(effective_number(measured.usage)), measured.local_number, *measured.similarity_range]
    assert [float(number) for number in summary.groups()] == pytest.approx(expected, abs=0.006)

    header, *rows = table
    assert header == ["latent category", "usage (%)", "spread (%)", "classes that use it most"]
    usage, class_usage = 900 * measured.usage, 900 * measured.class_usage
    assert [int(row[0]) for row in rows] == usage.argsort(descending=True).tolist()
    for latent, percent, spread, users in rows:
        of_classes = class_usage[:, int(latent)]
        assert float(percent) == pytest.approx(float(usage[int(latent)]), abs=0.006)
        assert float(spread) == pytest.approx(float(of_classes.max() - of_classes.min()), abs=0.006)
        first = int(of_classes.argmax())
        assert users.startswith(f"{first} ({float(of_classes[first]):.2f}), ") and users.count("(") == 3


def test_what_cannot_be_shown(work_dir: Path, tmp_path: Path) -> None:
    queries: dict[tuple[str | Path, ...], str] = {
        ("--classes", "nine"): "--classes 'nine' is no class of the data set; there are 0, 1, 2, 3, 4, ...",
        ("--latents", "9"): "--latents 9 is out of range; the model has 0 to 8",
        ("--images", "/nowhere/a.png"): "image /nowhere/a.png does not exist",
        ("--top", "0"): "--top 0 and --max-per-class 2 must be 1 or more",
        ("-o", STAGE_1): f"folder {STAGE_1} cannot be made (File exists)",
    }
    expect_errors(
        TOOL,
        {
            **{(STAGE_2, work_dir, *query, *SMALL): message for query, message in queries.items()},
            (STAGE_1, work_dir, *SMALL): "is a checkpoint of another model",
            (
                ROOT / "configs/ce/ce_r32_digits.py",
                work_dir,
            ): "model.head is LinearClsHead, which learns no latent categories; use one with LCRegHead (configs/lcreg)",
        },
        tmp_path,
    )


def test_a_class_without_images() -> None:
    labels = get_labels(build_plain_dataset(load_config(str(STAGE_1), OVERRIDES), "train"))
    names = list(map(str, range(10)))
    assert [find_class(query, names, labels) for query in ("9", "0")] == [9, 0]
    with pytest.raises(UserInputError, match="class 9 has no image in the searched set; try the other --split"):
        find_class("9", names, labels[labels != 9])
