"""Page of a contrastive run: its checkpoints, what its log has, and which models it fits."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from lt_plugins.analysis.contrast_page import ContrastPage, add_angles, logged_points, other_checkpoints
from lt_plugins.analysis.inspection import find_pages
from lt_plugins.analysis.trained_model import TrainedModel, build_plain_dataset, load_trained_model
from lt_plugins.clustering import mean_angles
from lt_plugins.engine.contrast_geometry import measure_geometry
from lt_plugins.errors import UserInputError
from lt_plugins.models.build import build_model
from lt_plugins.models.structures import ClassDistribution
from lt_plugins.runs.config import load_config, load_stages
from lt_plugins.visualization import FigurePage
from tests.tool_process import ROOT
from tests.visualization.test_html import read

PACO = "paco/paco_r32_digits.py"
COUNTS = (124, 110, 60, 40, 30, 20, 12, 9, 5, 2)


def make_cfg(config: str) -> Config:
    options = {"model.backbone.depth": 20, "val_dataloader.dataset.indices": 60}
    return load_config(str(ROOT / "configs" / config), options, stage=1)


def save_checkpoint(cfg: Config, path: Path, seed: int, epoch: int | None, has_counts: bool = True) -> None:
    torch.manual_seed(seed)
    model: Any = build_model(cfg)
    if has_counts:
        model.class_distribution = ClassDistribution(10)
        model.class_distribution.set_counts(COUNTS)
    meta = {} if epoch is None else {"epoch": epoch}
    torch.save({"state_dict": model.state_dict(), "meta": meta}, path)


def test_page_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = make_cfg(PACO)
    for epoch in (3, 6, 9):
        save_checkpoint(cfg, tmp_path / f"epoch_{epoch}.pth", epoch, epoch)
    (tmp_path / "epoch_4.pth").write_bytes(b"nothing")
    trained = load_trained_model(cfg, tmp_path / "epoch_6.pth")
    before = {name: value.clone() for name, value in trained.model.state_dict().items()}
    text = ContrastPage({"max_images": 30, "seed": 2}).write(cfg, trained, "paco/x")
    folder = tmp_path / "contrast_epoch_6"
    assert text == f"wrote {folder / 'index.html'} and beside it trend.png, angles.png, nearest.png"
    for name in ("trend", "angles", "nearest"):
        assert min(Image.open(folder / f"{name}.png").size) > 300
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("features and views of")]
    assert said == [f"features and views of epoch_{epoch}.pth" for epoch in (6, 3, 9)]
    after = trained.model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items()), "other pages read it too"

    reader = read(folder / "index.html")
    assert "Contrastive geometry: paco/x" in reader.text
    assert "1 could not be read: " in reader.text and "epoch_4.pth" in reader.text
    found = measure_geometry(trained.model, build_plain_dataset(cfg, "val"), cfg, max_images=30, seed=2, batch_size=64)
    assert f"{found.num_images} of the 60 images of val_dataloader, projections of length 32" in reader.text
    table, pairs = reader.tables
    assert table[0][:6] == ["group", "classes", "alignment", "uniformity", "within", "between"]
    assert [row[:2] for row in table[1:]] == [["all", "10"], ["many", "2"], ["medium", "4"], ["few", "4"]]
    angles = mean_angles(found.directions, torch.arange(10), 10)
    members = {"all": slice(0, 10), "many": slice(0, 2), "medium": slice(2, 6), "few": slice(6, 10)}
    for group, *cells in table[1:]:
        numbers = [found.numbers[name][group] for name in ("alignment", "uniformity", "within", "between")]
        expected = [*numbers, numbers[2] / numbers[3]]
        expected += [float(values[members[group]].mean()) for values in (angles.nearest, angles.average)]
        assert [float(cell) for cell in cells[1:]] == pytest.approx(expected, abs=0.0051)
    closest = [float(row[2]) for row in pairs[1:]]
    assert closest == sorted(closest) and closest[0] == pytest.approx(float(angles.nearest.min()), abs=0.0051)
    assert len({frozenset(row[:2]) for row in pairs[1:]}) == len(closest)


def test_page_of_another_model_and_of_a_single_checkpoint(tmp_path: Path) -> None:
    """A classifier without a projector, asked for by name: pooled features, centred class means."""
    cfg = make_cfg("ce/ce_r32_digits.py")
    save_checkpoint(cfg, tmp_path / "model.pth", 0, None)
    trained = load_trained_model(cfg, tmp_path / "model.pth")
    text = ContrastPage({"max_images": 20}).write(cfg, trained, "ce/x", tmp_path / "page")
    assert "trend.png" not in text and "angles.png" in text
    page = read(tmp_path / "page/index.html").text
    assert "features of length 64" in page and "The model has no projector" in page
    assert "the checkpoint does not say its epoch" in page

    save_checkpoint(cfg, tmp_path / "bare.pth", 0, None, has_counts=False)
    with pytest.raises(UserInputError, match="the model has no class counts"):
        ContrastPage().write(cfg, load_trained_model(cfg, tmp_path / "bare.pth"), "ce/x", tmp_path / "page")


def test_models_that_it_fits_and_shows() -> None:
    def find(config: str, only: str | None) -> tuple[int, list[str]]:
        found = find_pages(dict(enumerate(load_stages(str(ROOT / "configs" / config)))), only)
        return found.stage, [page.name for page in found.pages]

    assert find(PACO, None) == (0, ["contrast"])
    assert find("sbcl/sbcl_r32_digits.py", "contrast") == (0, ["contrast"]), "not its linear stage"
    assert find("lcreg/lcreg_r32_digits.py", "contrast") == (1, ["contrast"]), "the last of those without a projector"
    assert find("lcreg/lcreg_r32_digits.py", None) == (1, ["latents"])
    assert find("ce/ce_r32_digits.py", "contrast") == (0, ["contrast"])


def test_checkpoints_of_a_run(tmp_path: Path) -> None:
    for name in ("epoch_1", "epoch_2", "epoch_10", "epoch_20", "epoch_30", "best_x", "iter_5", "backbone"):
        (tmp_path / f"{name}.pth").touch()

    def others(name: str, number: int) -> list[str]:
        return [path.stem for path in other_checkpoints(tmp_path / f"{name}.pth", number)]

    assert others("epoch_10", 9) == ["epoch_1", "epoch_2", "epoch_20", "epoch_30"]
    assert others("epoch_30", 3) == ["epoch_1", "epoch_10", "epoch_20"]
    assert others("epoch_10", 2) == ["epoch_1", "epoch_30"] and others("epoch_10", 1) == ["epoch_1"]
    assert others("epoch_10", 0) == others("best_x", 9) == others("iter_5", 9) == []


def test_points_of_a_log() -> None:
    rows: list[dict[str, float]] = [
        {"step": 1, "shot/few": 3.0},
        {"step": 2, "geometry/alignment": 0.5, "geometry/alignment_few": 0.7, "geometry/within_many": 1.0},
    ]
    log: Any = SimpleNamespace(metrics=json.loads(json.dumps(rows)))
    assert logged_points(log) == [
        (2, {"alignment": {"all": 0.5, "few": 0.7}, "uniformity": {}, "within": {"many": 1.0}, "between": {}})
    ]


def test_notes_on_many_classes(tmp_path: Path) -> None:
    """More than fit a simplex, and more than a heat map shows; some have no image."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(300, 8, generator=generator, dtype=torch.float64), dim=1)
    directions[5] = math.nan
    groups = np.repeat(["many", "medium", "few"], 100)
    names = [f"class {label}" for label in range(300)]
    page = FigurePage("", tmp_path)
    angles = mean_angles(directions, torch.arange(300), 200)
    add_angles(page, angles, torch.arange(300), names, groups, 8)
    page.finish()
    text = read(tmp_path / "index.html").text
    assert "300 classes do not fit a simplex in 8 dimensions" in text
    assert "in 200 blocks of neighbouring size" in text and "90.2 degrees" in text

    alone = directions.clone()
    alone[1:] = math.nan
    other = FigurePage("", tmp_path / "one")
    add_angles(other, mean_angles(alone, torch.arange(300), 200), torch.arange(300), names, groups, 8)
    assert "images of two classes or more are needed" in other.render() and not other.figure_names


def test_options_and_other_classes(tmp_path: Path) -> None:
    for options in ({"max_images": 0}, {"checkpoints": -1}):
        with pytest.raises(UserInputError, match=r"--max-images .* and --checkpoints .* must be 1 or more"):
            ContrastPage(options)
    with pytest.raises(UserInputError, match=r"--seed -1 must be from 0"):
        ContrastPage({"seed": -1})
    cfg = make_cfg(PACO)
    model: Any = build_model(cfg).eval()
    trained = TrainedModel(model, tmp_path / "epoch_1.pth", 1, tuple("abcdefghij"))
    with pytest.raises(UserInputError, match=r"epoch_1.pth"):
        ContrastPage().write(cfg, trained, "paco/x")


@pytest.mark.parametrize("method", ["bcl", "byol", "pcl", "proco", "ssd", "swav", "tsc"])
def test_of_each_method(method: str) -> None:
    """Two views, three or more, with a queue or without, before its classifier is trained."""
    options = {"model.backbone.depth": 20, "val_dataloader.dataset.indices": 30}
    stages = load_stages(str(ROOT / f"configs/{method}/{method}_r32_digits.py"), options)
    found = find_pages(dict(enumerate(stages)))
    assert [page.name for page in found.pages] == ["contrast"]
    cfg, model = stages[found.stage], found.model.eval()
    model.class_distribution = ClassDistribution(10)
    model.class_distribution.set_counts(COUNTS)
    geometry = measure_geometry(model, build_plain_dataset(cfg, "val"), cfg, max_images=10)
    assert geometry.is_projected and {*geometry.numbers["alignment"]} >= {"all", "many", "few"}
    assert 0 < geometry.numbers["alignment"]["all"] < 4 and geometry.num_images <= 20
