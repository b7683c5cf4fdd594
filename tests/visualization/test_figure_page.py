from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lt_plugins.errors import UserInputError
from lt_plugins.visualization import FigurePage
from lt_plugins.visualization.style import new_figure
from tests.visualization.test_html import read


def test_figures_lie_beside_the_page_and_in_it(tmp_path: Path) -> None:
    page = FigurePage("A page", tmp_path / "new/folder")
    for color, name in (("red", "class_3_a <b> & c/d"), ("blue", "n" * 80)):
        figure = new_figure(3, 2)
        figure.set_facecolor(color)
        page.add_png(name, figure, f"all {color}")
    names = ["class_3_a_b_c_d.png", f"{'n' * 50}.png"]
    out = tmp_path / "new/folder"
    assert page.finish() == f"wrote {out / 'index.html'} and beside it {', '.join(names)}"
    assert sorted(path.name for path in out.iterdir()) == sorted(["index.html", *names])
    for name, pixel in zip(names, ((255, 0, 0), (0, 0, 255)), strict=True):
        picture = np.asarray(Image.open(io.BytesIO((out / name).read_bytes())).convert("RGB"))
        assert (picture == pixel).all()
    reader = read(out / "index.html")
    assert len(reader.links) == 2 and "all red" in reader.text


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserInputError, match=r"file cannot be made \(File exists\); give another one with -o"):
        FigurePage("A page", tmp_path / "file")
