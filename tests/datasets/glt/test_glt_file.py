from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lt_plugins.datasets.glt.glt_file import SPLITS, GLTFile, GLTImage, read_glt, write_glt
from lt_plugins.errors import UserInputError

BENCHMARK = GLTFile(
    ("cat", 'd"og', "caf\u00e9"),
    (0, 1, 2),
    ("many", "few"),
    {
        "train-glt": [GLTImage("a/1.jpg", 0, 0), GLTImage("a/2 b.jpg", 2, 1)],
        "test-gbl": [GLTImage("b/1.jpg", 1, -1)],
        "test-cbl": [],
    },
    {"seed": 3, "hashes": {"list": "ab"}},
)


def test_round_trip_with_a_line_an_image(tmp_path: Path) -> None:
    path = tmp_path / "glt.json"
    write_glt(path, BENCHMARK)
    assert read_glt(path) == BENCHMARK
    lines = path.read_text().splitlines()
    assert '["a/2 b.jpg", 2, 1]' in lines
    assert list(json.loads(path.read_text())["splits"]) == ["train-glt", "test-cbl", "test-gbl"], "always in this order"
    again = tmp_path / "again.json"
    write_glt(again, BENCHMARK)
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"splits": {"train-glt": [GLTImage("a.jpg", 3, 0)]}}, "train-glt: image 'a.jpg' has label 3, expected 0..2"),
        ({"splits": {"val-glt": [GLTImage("a.jpg", True, 0)]}}, "has label True"),
        ({"splits": {"val-glt": [GLTImage("a.jpg", 0, 2)]}}, "has attribute 2, expected 0..1, or -1"),
        ({"splits": {"val-glt": [GLTImage("", 0, 0)]}}, "has no path"),
        ({"splits": {"val-glt": [GLTImage("a.jpg", 0, 0)] * 2}}, "val-glt: image 'a.jpg' occurs twice"),
        ({"splits": {"test": []}}, "has a split 'test', expected train-glt, train-cbl"),
        (
            {"splits": {"train-cbl": [GLTImage("a.jpg", 0, 0)], "test-gbl": [GLTImage("a.jpg", 0, 0)]}},
            "image 'a.jpg' is in train-cbl and in test-gbl",
        ),
        ({"class_group": (0, 1)}, "class_group of .* must be 0 .many., 1 .medium. or 2 .few. for each of its 3"),
        ({"class_group": (0, 1, 3)}, "class_group"),
        ({"classes": (), "class_group": ()}, "has no classes"),
    ],
)
def test_refuses_what_is_out_of_range(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        write_glt(tmp_path / "glt.json", BENCHMARK._replace(**changes))
    assert not (tmp_path / "glt.json").exists()
    benchmark = BENCHMARK._replace(**changes)._asdict()
    (tmp_path / "glt.json").write_text(json.dumps({"format": "lt_plugins GLT 1", **benchmark}))
    with pytest.raises(UserInputError, match=message):
        read_glt(tmp_path / "glt.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "as a JSON object .JSONDecodeError"),
        ("[]", "it holds a list"),
        ("{}", "its format is 'None', not 'lt_plugins GLT 1'"),
        ('{"format": "lt_plugins GLT 2"}', "its format is 'lt_plugins GLT 2'"),
        ('{"format": "lt_plugins GLT 1"}', "it has no 'classes'"),
        (
            '{"format": "lt_plugins GLT 1", "classes": ["a"], "class_group": [0], "attribute_names": [], '
            '"splits": {"val-glt": [["a.jpg"]]}}',
            "missing 2 required positional arguments",
        ),
    ],
)
def test_other_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "glt.json").write_text(text)
    with pytest.raises(UserInputError, match=rf"glt.json cannot be read .*{message}.*; docs/glt.md") as error:
        read_glt(tmp_path / "glt.json")
    assert "\n" not in str(error.value)


def _released(*, balanced: bool = False, by_key: bool = False) -> dict[str, Any]:
    """Two images a phase, of 12 classes, so that labels as strings would not be in the order of numbers."""
    content: dict[str, Any] = {"id2cat": {str(y): f"n{y}" for y in range(12)}}
    for phase in ("train", "val", "test_lt", "test_bl", "test_bbl"):
        keys = [] if balanced and phase == "test_lt" else [f"/data4/{phase}/{y}.JPEG" for y in (2, 11)]
        columns: dict[str, Any] = {
            "label": {key: key.split("/")[-1].split(".")[0] for key in keys},
            "frequency": dict(zip(keys, (0, 2), strict=False)),
            "attribute": dict(zip(keys, ("1", 2), strict=False)),
        }
        if by_key:
            numbers = {key: str(900 + i) for i, key in enumerate(keys)}
            columns = {name: {numbers[key]: value for key, value in column.items()} for name, column in columns.items()}
            columns["path"] = {number: key for key, number in numbers.items()}
        content[phase] = columns
    return content


@pytest.mark.parametrize("by_key", [False, True], ids=["ImageNet", "MSCOCO"])
@pytest.mark.parametrize("balanced", [False, True])
def test_released_files(tmp_path: Path, balanced: bool, by_key: bool) -> None:
    path = tmp_path / "released.json"
    path.write_text(json.dumps(_released(balanced=balanced, by_key=by_key)))
    benchmark = read_glt(path)
    kind = "cbl" if balanced else "glt"
    tests = ["test-cbl", "test-gbl"] if balanced else ["test-lt", "test-cbl", "test-gbl"]
    assert sorted(benchmark.splits) == sorted([f"train-{kind}", f"val-{kind}", *tests])
    assert benchmark.splits["test-gbl"] == [
        GLTImage("/data4/test_bbl/2.JPEG", 2, 1),
        GLTImage("/data4/test_bbl/11.JPEG", 11, 2),
    ]
    assert benchmark.classes == tuple(f"n{y}" for y in range(12))
    assert benchmark.class_group == (-1, -1, 0, *[-1] * 8, 2)
    assert benchmark.attribute_names == ("many", "medium", "few")


def test_a_released_file_that_contradicts_itself(tmp_path: Path) -> None:
    content = _released()
    content["val"]["frequency"]["/data4/val/2.JPEG"] = 1
    (tmp_path / "released.json").write_text(json.dumps(content))
    with pytest.raises(UserInputError, match="class 2 has the frequencies 0 and 1"):
        read_glt(tmp_path / "released.json")
    del content["val"]["attribute"]
    (tmp_path / "released.json").write_text(json.dumps(content))
    with pytest.raises(UserInputError, match="it has no 'attribute'"):
        read_glt(tmp_path / "released.json")


def test_names_of_splits_are_those_of_the_protocols() -> None:
    assert SPLITS == ("train-glt", "train-cbl", "val-glt", "val-cbl", "test-lt", "test-cbl", "test-gbl")
