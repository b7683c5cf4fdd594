"""Report of a run: worst classes with images, confusions, table of classes, trend and calibration by group."""

from __future__ import annotations

import base64
import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lt_plugins.analysis.report.predicted_images import PredictedImages
from lt_plugins.analysis.report.run_report import RunReport
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.class_table import ClassTable
from lt_plugins.evaluation.predictions import Predictions
from lt_plugins.models.structures import ClassDistribution
from lt_plugins.runs.run_folder import RunFolder
from tests.visualization.test_html import Reader, read


def write_run(
    run: Path, label: np.ndarray, predicted: np.ndarray, confidence: np.ndarray, names: list[str], counts: list[int],
    test: str = "",
) -> Path:  # fmt: skip
    """A run whose newest evaluation has these predictions, as ShotAccuracy writes them."""
    start = run / "20260101_000000"
    (start / "vis_data").mkdir(parents=True)
    (start / "vis_data" / "config.py").write_text(f"seed = 0\n{test}\n")
    (start / "vis_data" / "scalars.json").write_text(
        '{"loss": 1.0, "epoch": 1, "iter": 5, "step": 5}\n{"shot/accuracy_top1": 40.0, "step": 1}\n'
    )
    distribution = ClassDistribution(len(names))
    distribution.set_counts(counts)
    ClassTable.from_hits(label, label == predicted, tuple(names), distribution).save(start / "per_class.csv")
    rank = np.where(label == predicted, 0, 1)
    predictions = Predictions(label, predicted, rank, confidence.astype(np.float32), np.arange(len(label)), len(names))
    predictions.save(start / "predictions.npz")
    return start


def write_photos(root: Path, names: list[str], each: int) -> str:
    """Class folders of photos in one colour a class, and the config of their dataset."""
    for index, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for number in range(each):
            Image.new("RGB", (200, 100), (60 * index, 200, 10 * number)).save(root / name / f"{number}.png")
    return (
        "test_dataloader = dict(dataset=dict(type='ImageListDataset', data_root=" + repr(str(root)) + ","
        " pipeline=[dict(type='PackInputs')]), batch_size=2)"
    )


NAMES = ["ant", "bee <i>", "cat", "dog"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_insects(tmp_path)


def write_insects(tmp_path: Path) -> Path:
    """Bees are taken for ants, and one cat for a dog; dogs are right."""
    config = write_photos(tmp_path / "photos", NAMES, 3)
    label = np.repeat(np.arange(4), 3)
    predicted = np.array([0, 0, 0, 0, 0, 2, 3, 2, 2, 3, 3, 3])
    confidence = np.array([0.9, 0.8, 0.7, 0.6, 0.95, 0.5, 0.4, 0.9, 0.9, 1.0, 1.0, 1.0])
    write_run(tmp_path / "run", label, predicted, confidence, NAMES, [200, 50, 10, 5], config)
    return tmp_path / "run"


def build(run: Path) -> tuple[Reader, str, list[str]]:
    said: list[str] = []
    page = RunReport(RunFolder(run), None, said.append).build()
    return read(page), page.render(), said


Built = tuple[Path, Reader, str, list[str]]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The run, and its page, which takes seconds."""
    run = write_insects(tmp_path_factory.mktemp("insects"))
    return run, *build(run)


def test_worst_classes_with_their_wrong_images(built: Built) -> None:
    run, reader, page, said = built
    worst = page.partition("<h2>Worst classes</h2>")[2].partition("<h2>")[0]
    assert [part.partition("<")[0] for part in worst.split("<h3>")[1:]] == ["bee &lt;i&gt;", "cat"], "dogs are right"
    assert "0.0 % of 3 test images right, 50 training images (medium-shot). Taken for ant (2), cat (1)." in worst
    captions = [part.partition("<")[0].replace("\xa0", " ") for part in worst.split("<figcaption>")[1:]]
    assert captions == [
        *("bee &lt;i&gt; → ant, 95 %", "bee &lt;i&gt; → ant, 60 %", "bee &lt;i&gt; → cat, 50 %", "cat → dog, 40 %")
    ], "the most confident first"
    assert worst.count("data:image/jpeg") == 4
    assert "no images" not in "".join(said)
    mistakes = list(csv.reader(io.StringIO(reader.downloads["mistakes.csv"])))
    assert [Path(row[0]).relative_to(run.parent / "photos").as_posix() for row in mistakes[1:]] == [
        *("bee <i>/1.png", "bee <i>/0.png", "bee <i>/2.png", "cat/0.png")
    ]
    assert mistakes[1][1:3] == ["bee <i>", "ant"] and float(mistakes[1][3]) == pytest.approx(95, rel=1e-6)


def test_pictures_are_those_of_the_predictions(run: Path) -> None:
    start = run / "20260101_000000"
    images = PredictedImages(start / "vis_data" / "config.py", Predictions.load(start / "predictions.npz"))
    image = images.open(7)
    assert image is not None
    assert image.pixels.shape == (48, 96, 3) and image.pixels[20, 50].tolist() == [120, 200, 10]
    Path(image.name).unlink()
    assert images.open(7) is None


def test_table_of_classes_and_confused_pairs(built: Built) -> None:
    reader = built[1]
    table = list(csv.DictReader(io.StringIO(reader.downloads["classes.csv"])))
    assert [row["class"] for row in table] == NAMES
    bee = table[1]
    assert (bee["rank"], bee["number"], bee["group"], bee["training images"]) == ("2", "1", "medium", "50")
    assert (bee["accuracy (%)"], bee["precision (%)"], bee["most often taken for"], bee["images"]) == (
        *("0.0", "", "ant", "2"),
    )
    assert float(table[0]["precision (%)"]) == pytest.approx(60)
    assert float(table[2]["confidence (%)"]) == pytest.approx(100 * 2.2 / 3)
    pairs = list(csv.reader(io.StringIO(reader.downloads["confusion.csv"])))[1:]
    assert [row[:3] for row in pairs] == [["bee <i>", "ant", "2"], ["bee <i>", "cat", "1"], ["cat", "dog", "1"]]
    assert [row[4] for row in pairs] == ["0", "0", "0"]


def test_calibration_of_each_group(built: Built) -> None:
    reader = built[1]
    rows = {row["test images of"]: row for row in csv.DictReader(io.StringIO(reader.downloads["calibration.csv"]))}
    assert list(rows) == ["all", "many", "medium", "few"]
    few = rows["few"]
    assert (few["images"], float(few["accuracy (%)"])) == ("6", pytest.approx(500 / 6))
    assert float(few["overconfidence"]) == pytest.approx(100 * (5.2 - 5) / 6, abs=1e-4)
    # Bins of a fifteenth: 0.4 and 0.9 (twice) of cats, 1.0 (three times) of dogs.
    assert float(few["ECE (%)"]) == pytest.approx(100 * (0.4 + 2 * 0.1 + 0) / 6, abs=1e-4)


UNSAFE = [
    ("dict(type='os.system', command='touch FILE')", "'os.system'"),
    ("dict(type='SplitDataset', dataset=dict(type='subprocess.run', args='touch FILE'))", "'subprocess.run'"),
    ("dict(type='BaseDataset', ann_file='FILE.pkl')", "'BaseDataset'"),
    ("dict(type='ImageListDataset', data_root='http://host/FILE')", "from an address"),
    ("[3]", r"by \[3\]"),
    ("open('FILE', 'w')", "only these datasets are opened"),
    ("dict(type='CIFAR100', data_root='FILE', split='test')", "cannot be opened"),
    ("dict(type='ImageListDataset', data_root='FILE', unknown=1)", "cannot be opened"),
    ("dict(type='DigitsDataset', split='test')", "others than those that were predicted"),
]


@pytest.mark.parametrize(("dataset", "line"), UNSAFE, ids=range(len(UNSAFE)))
def test_configs_of_strangers_open_images_and_nothing_else(dataset: str, line: str, run: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    config = run / "20260101_000000" / "vis_data" / "config.py"
    config.write_text(f"test_dataloader = dict(dataset={dataset.replace('FILE', str(made))})\n")
    with pytest.raises(UserInputError, match=line):
        PredictedImages(config, Predictions.load(run / "20260101_000000" / "predictions.npz"))
    assert not made.exists()


def test_without_images_mistakes_are_listed_by_position(run: Path) -> None:
    (run / "20260101_000000" / "vis_data" / "config.py").write_text("test_dataloader = dict(dataset=dict(type='a.b'))")
    reader, page, said = build(run)
    assert [text for text in said if text.startswith("note: no images: ")] and "data:image/jpeg" not in page
    assert len(reader.downloads["mistakes.csv"].splitlines()) == 5
    assert "\n4,bee" in reader.downloads["mistakes.csv"]


def test_names_in_other_scripts(tmp_path: Path) -> None:
    label = np.array([0, 0, 1, 1])
    write_run(tmp_path / "run", label, np.array([0, 1, 1, 0]), np.full(4, 0.5), ["猫", "ねこ"], [30, 4])
    reader, _, said = build(tmp_path / "run")
    assert "猫" in reader.text and "ねこ" in reader.text, "the browser has its own fonts"
    assert sum("no installed font" in text for text in said) <= 1


def test_a_page_of_many_classes_and_images_is_bounded(tmp_path: Path) -> None:
    """8,142 classes as in iNaturalist 2018, most of them wrong."""
    rng = np.random.default_rng(0)
    size = 8142
    names = [f"Plantae {index} longnamedgenus subspeciesname" for index in range(size)]
    label = np.repeat(np.arange(size), 3)
    predicted = np.where(rng.random(len(label)) < 0.4, label, rng.integers(size, size=len(label)))
    counts = np.maximum(1000 * 0.002 ** (np.arange(size) / size), 2).astype(int).tolist()
    write_run(tmp_path / "run", label, predicted, rng.random(len(label)), names, counts)
    page = RunReport(RunFolder(tmp_path / "run"), None, print).build().render()
    assert len(page) < 10e6
    for name, lines in (("classes", size + 1), ("mistakes", 201), ("confusion", 31)):
        found = re.search(rf'download="{name}\.csv" href="[^,]+,([^"]+)"', page)
        assert found is not None and len(base64.b64decode(found[1]).splitlines()) == lines
