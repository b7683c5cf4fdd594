"""tools/analysis/subclasses.py on images that are made up, and on a run of two epochs."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from PIL import Image

from lt_plugins.analysis.trained_model import build_plain_dataset
from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.datasets.labels import get_labels
from lt_plugins.runs.config import load_config
from lt_plugins.visualization import FigurePage
from tests.tool_process import ROOT, expect_errors, run_tool, start_tool
from tests.visualization.test_html import read
from tools.analysis.subclasses import SubclassPage

TOOL = "analysis/subclasses.py"
CONFIG = ROOT / "configs/sbcl/sbcl_r32_digits.py:stage1"
# What makes the run small; whoever reads its checkpoint needs it as well.
OVERRIDES = {
    "model.backbone.depth": 20,
    "train_dataloader.dataset.max_count": 60,
    "train_dataloader.dataset.imbalance_factor": 30,
}
SMALL = ["--cfg-options", *(f"{key}={value}" for key, value in OVERRIDES.items())]


def test_sections(tmp_path: Path) -> None:
    """Class 0 has two subclasses, class 1 is whole, class 2 is empty, class 3 is few-shot and split."""
    sizes = {(0, 4): 90, (0, 7): 30, (1, 2): 25, (3, 0): 3, (3, 9): 1}
    labels = torch.cat([torch.full((size,), label) for (label, _), size in sizes.items()])
    subclass = torch.cat([torch.full((size,), number) for (_, number), size in sizes.items()])
    features = torch.eye(10)[subclass]
    page = FigurePage("t", tmp_path)
    sections = SubclassPage(page, features, labels, subclass, ["a", "b <i>", "c", "d"], max_points=50, seed=0)
    assert sections.largest_first() == [0, 1, 3]
    sections.add_distances()
    sections.add_sizes()
    sections.add_split_classes([0, 1])
    sections.add_head_classes(2)
    sections.add_all_classes(torch.tensor([0.1, 0.25, 0.3, 0.1234]))
    page.finish()
    reader = read(tmp_path / "index.html")
    assert "4 images are drawn of each many- and medium-shot class, as many as the median few-shot class" in reader.text
    distances, groups, classes = reader.tables
    assert [row[:2] for row in distances[1:]] == [["many", "4"], ["medium", "4"], ["few", "4"]]
    # One image of class 3 is sqrt(2) away from the three others, which lie together.
    few = [2 * 3 * math.sqrt(2) / 4 / 4, 0, 2 * 3 * math.sqrt(2) / 3 / 4, 0]
    assert [float(cell) for cell in distances[3][2:]] == pytest.approx(few, abs=0.005)
    assert distances[2][2:] == ["0.00"] * 4
    assert groups == [
        ["group", "classes", "split classes", "subclasses", "smallest part", "largest part", "largest / smallest"],
        ["all", "3", "2", "5", "1", "90", "90.00"],
        ["many", "1", "1", "2", "30", "90", "3.00"],
        ["medium", "1", "0", "1", "", "", ""],
        ["few", "1", "1", "2", "1", "3", "3.00"],
    ]
    assert classes == [
        ["class", "group", "images", "subclasses", "smallest", "largest", "temperature tau_2"],
        ["a", "many", "120", "2", "30", "90", "0.100"],
        ["b <i>", "medium", "25", "1", "25", "25", "0.250"],
        ["d", "few", "4", "2", "1", "3", "0.123"],
    ]
    assert "Class a: 120 images in 2 subclasses, 50 of 120 images" in reader.text
    assert "Class b <i>: not split" in reader.text and "The 2 largest classes, 50 of 145 images" in reader.text
    names = ["distances", "sizes", "class_0_a", "class_1_b_i_", "head_classes"]
    assert page.figure_names == [f"{name}.png" for name in names]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Work dir of a run whose subclasses are found before the second of its two epochs."""
    work_dir = tmp_path_factory.mktemp("runs") / "sbcl"
    recluster = [hook.type for hook in load_config(str(CONFIG)).custom_hooks].index("ReclusterHook")
    hook = [f"custom_hooks.{recluster}.start=1", f"custom_hooks.{recluster}.num_workers=0"]
    schedule = ["train_cfg.max_epochs=2", "train_cfg.val_interval=9"]
    done = run_tool("train.py", CONFIG, "--work-dir", work_dir, *SMALL, *hook, *schedule, logs=work_dir.parent / "logs")
    assert done.exit_code == 0, done.output
    return work_dir


def test_page_of_a_run(run: Path, tmp_path: Path) -> None:
    options = ["--classes", "3", "0", "3", "--num-classes", "4", "--max-points", "30", "--seed", "7", "--device", "cpu"]
    calls: list[list[str | Path]] = [
        [run],
        [run / "epoch_2.pth", *options, "-o", tmp_path / "a"],
        [run, *options, "-o", tmp_path / "b/c"],
    ]
    started = [start_tool(TOOL, CONFIG, *call, *SMALL, logs=tmp_path / str(i)) for i, call in enumerate(calls)]
    for tool in started:
        assert tool.wait().exit_code == 0, tool.output
    out = run / "subclasses_epoch_2"
    assert started[0].log.read_text().splitlines()[-1] == (
        f"wrote {out / 'index.html'} and beside it distances.png, sizes.png, class_0_0.png, head_classes.png"
    )
    reader = read(out / "index.html")
    assert len(reader.links) == 4 and "epoch_2.pth, after epoch 2" in reader.text
    state = load_checkpoint(run / "epoch_2.pth")["state_dict"]
    subclass, tau2 = (state[f"head.loss_module.{name}"] for name in ("subclass", "tau2"))
    labels = torch.from_numpy(get_labels(build_plain_dataset(load_config(str(CONFIG), OVERRIDES), "train")))
    for label, row in enumerate(reader.tables[2][1:]):  # the digits' classes are sorted by size
        sizes = subclass[labels == label].unique(return_counts=True)[1]
        numbers = [int((labels == label).sum()), len(sizes), int(sizes.min()), int(sizes.max())]
        assert [row[0], *row[2:]] == [str(label), *map(str, numbers), f"{float(tau2[label]):.3f}"]

    names = sorted(["distances.png", "sizes.png", "class_3_3.png", "class_0_0.png", "head_classes.png"])
    assert sorted(path.name for path in (tmp_path / "a").glob("*.png")) == names
    for name in names:
        assert min(Image.open(tmp_path / "a" / name).size) > 300
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b/c" / name).read_bytes(), (
            "not repeated by the seed"
        )
    assert "The 4 largest classes, 30 of " in read(tmp_path / "a/index.html").text


def test_what_cannot_be_shown(run: Path, tmp_path: Path) -> None:
    queries: dict[tuple[str | Path, ...], str] = {
        ("--classes", "nine"): "--classes 'nine' is no class of the data set; there are 0, 1, 2, 3, 4, ...",
        ("--num-classes", "0"): "--num-classes 0 and --max-points 2000 must be 1 or more",
        ("--max-points", "-1"): "--num-classes 10 and --max-points -1 must be 1 or more",
        ("--seed", "-1"): "--seed -1 must be from 0 to 4294967295",
        ("-o", CONFIG): f"folder {CONFIG} cannot be made (File exists)",
    }
    other_data = "train_dataloader.dataset.max_count=59"
    expect_errors(
        TOOL,
        {
            **{(CONFIG, run, *query, *SMALL): message for query, message in queries.items()},
            (
                CONFIG,
                run / "epoch_1.pth",
                *SMALL,
            ): "(epoch 1) has no subclasses yet: ReclusterHook first clusters before",
            (CONFIG, run, *SMALL, other_data): "there are subclasses for 184 images, but",
            (
                ROOT / "configs/sbcl/sbcl_r32_digits.py",
                run,
                "--stage",
                "2",
            ): "which has no subclasses; use one with SBCLLoss (configs/sbcl), and of its stages the first",
            (ROOT / "configs/ce/ce_r32_digits.py", run): "which has no subclasses; use one with SBCLLoss",
        },
        tmp_path,
    )
