from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.class_table import ClassTable
from lt_plugins.models.structures import ClassDistribution


def make_table(known: bool = True) -> ClassTable:
    distribution = ClassDistribution(3)
    distribution.set_counts([101, 0, 50])
    label = np.array([0, 0, 0, 2])
    correct = np.array([True, False, False, True])
    return ClassTable.from_hits(label, correct, ("a", "line\nbreak, comma", ""), distribution if known else None)


@pytest.mark.parametrize("known", [True, False])
def test_round_trip(tmp_path: Path, known: bool) -> None:
    table = make_table(known)
    table.save(tmp_path / "per_class.csv")
    loaded = ClassTable.load(tmp_path / "per_class.csv")
    assert loaded.names == table.names
    assert loaded.test_counts.tolist() == [3, 0, 1]
    np.testing.assert_allclose(loaded.accuracy, [100 / 3, np.nan, 100], atol=1e-4)
    if known:
        assert loaded.train_counts is not None
        assert loaded.groups is not None
        assert loaded.train_counts.tolist() == [101, 0, 50]
        assert loaded.groups.tolist() == ["many", "few", "medium"]
    else:
        assert loaded.train_counts is None
        assert loaded.groups is None


def test_csv_is_what_a_spreadsheet_reads(tmp_path: Path) -> None:
    make_table().save(tmp_path / "per_class.csv")
    lines = (tmp_path / "per_class.csv").read_text().splitlines()
    assert lines[0] == "class_id,name,train_count,group,test_count,accuracy"
    assert lines[1] == "0,a,101,many,3,33.3333"
    assert lines[-1] == "2,,50,medium,1,100.0000"


@pytest.mark.parametrize(
    "content", ["", "class_id,name\n0,a\n", "class_id,name,train_count,group,test_count,accuracy\n0,a"]
)
def test_damaged_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "per_class.csv"
    path.write_text(content)
    with pytest.raises(UserInputError, match=r"per_class\.csv cannot be read as a table of classes"):
        ClassTable.load(path)


HEADER = "class_id,name,train_count,group,test_count,accuracy\n"


@pytest.mark.parametrize(
    "row",
    [
        *("1,a,3,few,3,10", "0,a,3,few,-3,10", "0,a,-3,few,3,10", "0,a,3,rare,3,10", "0,a,3,few,3,101"),
        *("0,a,3,few,3,nan", "0,a,3,few,3,", "0,a,3,few,x,10", "0,a,3,few,9" + "9" * 30 + ",10"),
        *("0,a,3,few,9" + "9" * 5000 + ",10", "0,a\0,3,few,3,inf", '0,"a', "0," + "a" * 200_000 + ",3,few,3,10"),
    ],
    ids=range(13),
)
def test_foreign_values(row: str, tmp_path: Path) -> None:
    path = tmp_path / "per_class.csv"
    path.write_text(HEADER + row + "\n")
    with pytest.raises(UserInputError, match=r"per_class\.csv cannot be read as a table of classes") as caught:
        ClassTable.load(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
