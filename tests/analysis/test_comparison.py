"""Comparison of runs: what is paired, the numbers side by side, and what is refused."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from lt_plugins.analysis.report.aligned_run import align_runs
from lt_plugins.analysis.report.comparison import ComparisonReport
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.paired_tests import adjust_p, mcnemar_p
from lt_plugins.runs.run_folder import RunFolder
from tests.analysis.test_run_report import write_run
from tests.tools.test_report import write_start
from tests.visualization.test_html import Reader, read

NAMES = ["ant", "bee", "cat", "dog"]
COUNTS = [200, 50, 10, 5]


def build(*runs: Path) -> tuple[Reader, str, list[str]]:
    said: list[str] = []
    page = ComparisonReport([RunFolder(run) for run in runs], None, said.append).build()
    return read(page), page.render(), said


def rows(reader: Reader, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(reader.downloads[name])))


def predict(label: np.ndarray, share: float, seed: int, num_classes: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(label)) < share, label, rng.integers(num_classes, size=len(label)))


def test_runs_on_the_same_images(tmp_path: Path) -> None:
    label = np.repeat(np.arange(4), 50)
    first, second = predict(label, 0.3, 0), predict(label, 0.6, 1)
    second[label == 0] = 1  # a class that is lost
    for name, predicted, epochs in (("base", first, 5), ("other", second, 6)):
        start = write_run(tmp_path / name, label, predicted, np.full(200, 0.5), NAMES, COUNTS)
        (start / "vis_data" / "config.py").write_text(f"work_dir = {name!r}\ntrain_cfg = dict(max_epochs={epochs})\n")
    reader, page, said = build(tmp_path / "base", tmp_path / "other")
    assert said == []
    numbers = {row["metric (%)"]: row for row in rows(reader, "results.csv")}
    hits = [float(100 * np.mean(predicted == label)) for predicted in (first, second)]
    overall = numbers["overall"]
    assert [float(overall[key]) for key in ("base", "other", "other - base")] == pytest.approx(
        [*hits, hits[1] - hits[0]]
    )
    assert float(numbers["many"]["base"]) == pytest.approx(100 * np.mean(first[label == 0] == 0))
    assert float(numbers["ECE"]["other"]) == pytest.approx(abs(hits[1] - 50))

    lost, won = (int(((a == label) & (b != label)).sum()) for a, b in ((first, second), (second, first)))
    difference, *groups = rows(reader, "differences.csv")
    assert (difference["only the first is right"], difference["only this one"]) == (str(lost), str(won))
    assert float(difference["p (McNemar)"]) == pytest.approx(float(mcnemar_p(np.array(lost), np.array(won))), rel=0.1)
    assert [row["accuracy"] for row in groups] == ["balanced", "many", "medium", "few"]
    for row in (difference, *groups):
        assert float(row["95 % from"]) <= float(row["difference to base"]) <= float(row["to"])

    classes = {row["class"]: row for row in rows(reader, "classes_gained_and_lost.csv")}
    gains, p = {}, []
    for number, name in enumerate(NAMES):
        before, after = first[label == number] == number, second[label == number] == number
        gains[name] = 100 * (after.mean() - before.mean())
        p.append(mcnemar_p((before & ~after).sum(), (~before & after).sum()))
    assert list(classes) == sorted(NAMES, key=lambda name: -abs(gains[name])), "the largest change first"
    adjusted = dict(zip(NAMES, adjust_p(np.array(p)), strict=True))
    for name, row in classes.items():
        assert float(row["other - base"]) == pytest.approx(gains[name])
        assert float(row["p (adjusted)"]) == pytest.approx(adjusted[name], rel=0.1)
    num_gained = sum(gain > 0 for gain in gains.values())
    assert f"other: {num_gained} classes gain, {4 - num_gained} lose, 0 stay." in page

    pairs = rows(reader, "confused_pairs.csv")
    assert (pairs[0]["true class"], pairs[0]["taken for"], pairs[0]["other"]) == ("ant", "bee", "50")
    assert rows(reader, "settings_that_differ.csv") == [{"setting": "epochs", "base": "5", "other": "6"}]
    assert rows(reader, "settings_that_differ_2.csv") == [{"key": "train_cfg.max_epochs", "base": "5", "other": "6"}]
    assert page.count("data:image/png") == 5


def test_the_same_predictions_do_not_differ(tmp_path: Path) -> None:
    label = np.repeat(np.arange(4), 5)
    for name in "ab":
        write_run(tmp_path / name, label, predict(label, 0.5, 0), np.full(20, 0.5), NAMES, COUNTS)
    reader, page, _ = build(tmp_path / "a", tmp_path / "b")
    assert all(float(row["difference to a"]) == 0 for row in rows(reader, "differences.csv"))
    assert "b: 0 classes gain, 0 lose, 4 stay. At a false discovery rate of 5 %, 0 gain and 0 lose" in page
    assert reader.downloads["settings_that_differ.csv"] == "setting,a,b\n"


def test_other_test_images_are_not_paired(tmp_path: Path) -> None:
    label = np.repeat(np.arange(4), 5)
    write_run(tmp_path / "a", label, predict(label, 0.5, 0), np.full(20, 0.5), NAMES, COUNTS)
    write_run(tmp_path / "b", label[:16], predict(label[:16], 0.5, 1), np.full(16, 0.5), NAMES, COUNTS)
    write_run(tmp_path / "c", label[::-1], predict(label[::-1], 0.5, 1), np.full(20, 0.5), NAMES, [9, 9, 9, 9])
    reader, _, said = build(tmp_path / "a", tmp_path / "b", tmp_path / "c")
    assert "b was not tested on the images of a (16 test images, not 20)" in said[0]
    assert "c was not tested on the images of a (20 of 20 test images have another label)" in said[1]
    assert "training sets differ; many, medium and few are the groups of a" in said[2]
    assert "no run was tested on the images of a." in said[3]
    assert list(rows(reader, "results.csv")[0]) == ["metric (%)", "a", "b", "c", "b - a", "c - a"]
    assert "differences.csv" not in reader.downloads
    assert not any(key.startswith("p ") for key in rows(reader, "classes_gained_and_lost.csv")[0])


def test_common_classes_only(tmp_path: Path) -> None:
    """The second run has the classes in another order, and one that the first lacks."""
    label = np.repeat(np.arange(4), 5)
    first = predict(label, 0.5, 0)
    write_run(tmp_path / "a", label, first, np.full(20, 0.5), NAMES, COUNTS)
    names = ["dog", "ant", "elk", "bee"]
    to_second = {0: 1, 1: 3, 3: 0, 2: 2}
    second = np.array([to_second[c] for c in predict(label, 0.7, 1).tolist()])
    write_run(
        tmp_path / "b",
        np.array([to_second[c] for c in label.tolist()]),
        second,
        np.full(20, 0.5),
        names,
        [5, 200, 10, 50],
    )
    one, other = align_runs([RunFolder(tmp_path / "a"), RunFolder(tmp_path / "b")])
    kept = label != 2
    np.testing.assert_array_equal(one.truth, label[kept])
    np.testing.assert_array_equal(other.truth, label[kept])
    expected = np.where(first[kept] == 2, -1, first[kept])
    np.testing.assert_array_equal(one.predicted, expected)
    assert np.isnan(one.accuracy).tolist() == [False, False, True, False]
    assert other.unpaired(one) is None
    reader, _, said = build(tmp_path / "a", tmp_path / "b")
    assert said[0] == "note: the runs have different classes; compared are test images of the 3 that all have."
    assert {row["class"] for row in rows(reader, "classes_gained_and_lost.csv")} == {"ant", "bee", "dog"}


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    label = np.repeat(np.arange(4), 5)
    write_run(tmp_path / "a", label, label, np.full(20, 0.5), NAMES, COUNTS)
    write_run(tmp_path / "b", label, label, np.full(20, 0.5), ["e", "f", "g", "h"], COUNTS)
    write_run(tmp_path / "twice", label, label, np.full(20, 0.5), ["ant", "ant", "bee", "cat"], COUNTS)
    write_start(tmp_path / "new", "20260101_000000", [])
    for other, line in (
        ("b", "no class in common: .* has 'ant', .* 'e'; compare runs on the same classes"),
        ("twice", "two classes of .* have the same name"),
        ("new", "new has no per_class.csv yet"),
        ("a", "a would be compared with itself"),
    ):
        with pytest.raises(UserInputError, match=line):
            build(tmp_path / "a", tmp_path / other)


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    label = np.repeat(np.arange(4), 5)
    for folder in ("x/run", "y/run"):
        write_run(tmp_path / folder, label, label, np.full(20, 0.5), NAMES, COUNTS)
    runs = align_runs([RunFolder(tmp_path / "x/run"), RunFolder(tmp_path / "y/run")])
    assert [run.label for run in runs] == ["x/run", "y/run"]
