"""Tables of attributes."""

from __future__ import annotations

from pathlib import Path

import pytest

from lt_plugins.datasets.attribute_table import AttributeTable, read_attribute_table
from lt_plugins.errors import UserInputError


def read(tmp_path: Path, text: str) -> AttributeTable:
    (tmp_path / "table.csv").write_text(text, encoding="utf-8")
    return read_attribute_table(tmp_path / "table.csv")


def test_one_attribute_an_image(tmp_path: Path) -> None:
    table = read(tmp_path, "Attribute,image\r\nindoors,a.png\r\n\r\noutdoors, b.png\r\nindoors,c.png\r\n")
    assert table.names == ("indoors", "outdoors") and table.is_single
    assert {path: row.tolist() for path, row in table.rows.items()} == {
        "a.png": [1, 0],
        "b.png": [0, 1],
        "c.png": [1, 0],
    }


def test_several_attributes_an_image(tmp_path: Path) -> None:
    table = read(tmp_path, "path,striped,winged\na.png,0.25,1\nb.png,0,0\n")
    assert table.names == ("striped", "winged") and not table.is_single
    assert table.rows["a.png"].tolist() == [0.25, 1] and table.rows["b.png"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: .* is no such header; give a file whose first line is image,attribute"),
        ("name,attribute\n", "line 1"),
        ("image\na.png\n", "line 1"),
        ("image,attribute\na.png\n", "line 2: 1 values, expected 2 that are not empty"),
        ("image,attribute\na.png, \n", "line 2: 2 values, expected 2 that are not empty"),
        ("image,attribute\na.png,x\na.png,y\n", "line 3: 'a.png' is there twice"),
        ("image,striped,winged\na.png,yes,no\n", "line 2: 'yes' is no number from 0 to 1; name a single column"),
        ("image,striped,winged\na.png,1,1.5\n", "line 2: '1.5' is no number"),
        ("image,striped,winged\na.png,1,nan\n", "line 2: 'nan' is no number"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserInputError, match=message) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match=r"attribute table .*none\.csv not found"):
        read_attribute_table(tmp_path / "none.csv")
