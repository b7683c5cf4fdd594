from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.glt_counts import GLTCounts
from lt_plugins.evaluation.glt_table import GLTTable

from .glt_samples import ATTRIBUTES, CLASS_GROUP, CLASSES, make_glt_set

NAMES = ("a,b", 'q"', "é", "d", " ", "f", "g")


def make_table(*tests: str) -> GLTTable:
    counts = {}
    for seed, name in enumerate(tests):
        data = make_glt_set(300, seed)
        counts[name] = GLTCounts.from_predictions(data.label, data.predicted, data.attribute, CLASSES, ATTRIBUTES)
    return GLTTable(NAMES, ("day", "night", "fog, rain"), np.array(CLASS_GROUP), counts)


def test_file_holds_the_whole_table(tmp_path: Path) -> None:
    table = make_table("clt", "glt")
    table.save(tmp_path / "cells.csv")
    loaded = GLTTable.load(tmp_path / "cells.csv")
    assert (loaded.names, loaded.attribute_names) == (table.names, table.attribute_names)
    assert loaded.class_group.tolist() == CLASS_GROUP
    assert [*loaded.tests] == ["clt", "glt"]
    for name, counts in table.tests.items():
        for field in ("images", "hits", "predicted"):
            assert np.array_equal(getattr(loaded.tests[name], field), getattr(counts, field)), (name, field)
    assert loaded.numbers() == table.numbers()


def test_gap_is_between_the_tests_of_one_model() -> None:
    numbers = make_table("clt", "glt").numbers()
    assert numbers["gap/accuracy"] == numbers["clt/accuracy"] - numbers["glt/accuracy"]
    assert numbers["gap/precision"] == numbers["clt/precision"] - numbers["glt/precision"]
    assert not any(name.startswith("gap") for name in make_table("test-cbl", "alt").numbers())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("test,class_id", "set,class_id", "test"),
        ("clt,0,", "clt,1,", "its lines are not those of each test set, class and attribute"),
        ("clt,5,f,few,2,\"fog, rain\"", "glt,5,f,few,2,\"fog, rain\"", "its lines are not"),
        ("many", "most", "its groups are not many, medium and few"),
        ("clt,0,\"a,b\",many,0,day,", "clt,0,\"a,b\",many,0,day,9", "predictions are not one an image"),
        ("clt,0,\"a,b\",many,0,day,", "clt,0,\"a,b\",many,0,day,x", "no table"),
    ],
)  # fmt: skip
def test_refuses_another_file(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    make_table("clt").save(path)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserInputError, match=f"cells.csv.*{message}" if message != "no table" else "cells.csv"):
        GLTTable.load(path)


def test_refuses_impossible_counts(tmp_path: Path) -> None:
    one = np.array([[1, 0]])
    for counts, message in (
        (GLTCounts(one, 2 * one, 2 * one), "more hits than images"),
        (GLTCounts(2 * one, one, 0 * one), "not one an image"),
    ):
        GLTTable(("a",), ("b",), np.array([0]), {"clt": counts}).save(tmp_path / "cells.csv")
        with pytest.raises(UserInputError, match=message):
            GLTTable.load(tmp_path / "cells.csv")
    (tmp_path / "cells.csv").write_text("")
    with pytest.raises(UserInputError, match="it has no classes"):
        GLTTable.load(tmp_path / "cells.csv")
