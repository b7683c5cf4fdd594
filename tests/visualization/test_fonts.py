"""Names in any script: a font that has the characters is found, and without one they are spelled."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

from lt_plugins.visualization import SheetRow, draw_contact_sheet, figure_to_png, plot_class_accuracy, plot_shot_bars
from lt_plugins.visualization.fonts import (
    characters_of,
    default_font,
    figure_names,
    find_families,
    picture_font,
    show_all_scripts,
    spell,
)
from lt_plugins.visualization.style import shorten

# Of planes that no font here has: Egyptian hieroglyphs.
HIEROGLYPHS = "\U00013000\U00013001"


def make_font(path: Path, family: str, characters: str) -> None:
    """A real TrueType font whose glyphs are triangles."""
    names = [".notdef", *(f"glyph{index}" for index in range(len(characters)))]
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    pen.lineTo((900, 0))
    pen.lineTo((450, 900))
    pen.closePath()
    glyph = pen.glyph()
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder(names)
    font.setupCharacterMap({ord(character): name for character, name in zip(characters, names[1:], strict=True)})
    font.setupGlyf(dict.fromkeys(names, glyph))
    font.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    font.setupHorizontalHeader(ascent=900, descent=-100)
    font.setupNameTable({"familyName": family, "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(path)


@pytest.fixture
def only_latin() -> Iterator[None]:
    """Whatever is installed here: the fonts of matplotlib alone."""
    entries = font_manager.fontManager.ttflist
    font_manager.fontManager.ttflist = [entry for entry in entries if "mpl-data" in entry.fname]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(font_manager, "findSystemFonts", lambda *args, **kwargs: [])
        yield
    font_manager.fontManager.ttflist = entries


@pytest.fixture
def hieroglyphs(tmp_path: Path, only_latin: None) -> str:
    make_font(tmp_path / "glyphs.ttf", "Test Glyphs", HIEROGLYPHS)
    font_manager.fontManager.addfont(tmp_path / "glyphs.ttf")
    return "Test Glyphs"


def all_shown(figure: Figure) -> None:
    """Every character of every text is in one of the fonts of that text, by the fonts' own tables."""
    for text in figure.findobj(Text):
        paths = [
            font_manager.findfont(font_manager.FontProperties(family=[family])) for family in text.get_fontfamily()
        ]
        glyphs = frozenset().union(*map(characters_of, paths))
        assert not {c for c in text.get_text() if not c.isspace() and ord(c) not in glyphs}, text.get_text()


def draw(names: list[str]) -> Figure:
    counts = np.arange(len(names), 0, -1)
    return plot_class_accuracy({"run": 10 * counts.astype(np.float64)}, counts, np.full(len(names), "few"), names)


def test_an_installed_font_is_used(hieroglyphs: str, caplog: pytest.LogCaptureFixture) -> None:
    names = ["cat", HIEROGLYPHS, f"a{HIEROGLYPHS[1]}"]
    assert find_families(set("".join(names))) == ([hieroglyphs], set())
    assert figure_names(names) == names
    figure = draw(names)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a missing glyph
        assert len(figure_to_png(figure)) > 1000
    all_shown(figure)
    labels = [label.get_text() for label in figure.axes[1].get_xticklabels()]
    assert labels == names
    assert not caplog.records, "matplotlib logs each family without a plain font"
    path, text = picture_font(HIEROGLYPHS)
    assert (Path(path).name, text) == ("glyphs.ttf", HIEROGLYPHS)


def test_a_font_that_was_installed_since(tmp_path: Path, only_latin: None, monkeypatch: pytest.MonkeyPatch) -> None:
    make_font(tmp_path / "new.ttf", "New Glyphs", HIEROGLYPHS)
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    paths = [str(tmp_path / "broken.ttf"), str(tmp_path / "new.ttf")]
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: paths)
    assert find_families({HIEROGLYPHS[0]}) == (["New Glyphs"], set())
    assert find_families({"\U00013010"}) == ([], {"\U00013010"}), "and the search ends"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ねこ cat", "neko cat"),
        ("고양이", "goyangi"),
        ("猫", "U+732B"),
        ("ग", "ga"),
        ("กา", "koaa"),
        ("\uff21\uff11", "A1"),
        ("кошка γάτα ä5€", "кошка γάτα ä5€"),
    ],
)
def test_without_a_font_names_are_spelled(name: str, shown: str, only_latin: None) -> None:
    assert spell(name) == shorten(name) == shown
    assert {ord(character) for character in shown} <= characters_of(default_font())


def test_class_names_without_a_font_are_different(only_latin: None) -> None:
    names = ["猫", "犬", "ねこ", "ネコ", "dog", "고양이"]
    assert figure_names(names) == ["#0", "#1", "#2", "#3", "dog", "goyangi"]


def test_no_figure_has_boxes(only_latin: None) -> None:
    figure = plot_shot_bars({"猫": {"many": 50.0}, "ねこ": {"many": 40.0}}, groups=("many",))
    figure.axes[0].set_xticks([0], ["犬"])
    figure.axes[0].set_title("猫と犬")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure_to_png(figure)
    all_shown(figure)
    assert [text.get_text() for text in figure.legends[0].texts] == ["U+732B", "neko"]
    assert figure.axes[0].get_xticklabels()[0].get_text() == "U+72AC"
    figure = draw(["猫", "cat"])
    show_all_scripts(figure)
    all_shown(figure)


def test_contact_sheets_show_no_boxes(only_latin: None) -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    wide = draw_contact_sheet([SheetRow("U+732B cat", [image])])
    assert draw_contact_sheet([SheetRow("猫 cat", [image])]).shape[0] == wide.shape[0]
    path, text = picture_font("猫 cät")
    assert (path, text) == (default_font(), "U+732B cät")
