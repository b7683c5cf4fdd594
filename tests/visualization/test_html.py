from __future__ import annotations

import base64
import csv
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lt_plugins.visualization import HtmlReport
from lt_plugins.visualization.style import new_figure

SLUG = "script_alert_script_onload_x"
EVIL = "<script>alert('&')</script>\"onload=\"x"


class Reader(HTMLParser):
    """Collects tags, text and the cells of tables, and checks that tags are closed."""

    VOID = ("meta", "img", "wbr")
    EMBEDDED = re.compile(r"data:(image/(png|jpeg)|text/csv;charset=utf-8|application/x-tex;charset=utf-8);base64,")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.downloads: dict[str, str] = {}
        self.text = ""
        self.tables: list[list[list[str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        links = [value or "" for name, value in attrs if name in ("src", "href", "srcset")]
        assert all(self.EMBEDDED.match(link) for link in links)
        self.links += [link for link in links if link.startswith("data:image")]
        if name := dict(attrs).get("download"):
            assert name not in self.downloads
            self.downloads[name] = base64.b64decode(links[0].partition(",")[2]).decode()
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] in ("th", "td"):
            self.tables[-1][-1][-1] += data


def read(page: HtmlReport | Path) -> Reader:
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8") if isinstance(page, Path) else page.render())
    assert reader.open == []
    return reader


def test_everything_is_escaped_and_embedded(tmp_path: Path) -> None:
    page = HtmlReport(EVIL)
    page.add_heading(EVIL)
    page.add_text(EVIL)
    page.add_details(EVIL, EVIL)
    page.add_table([EVIL, "n"], [[EVIL, 1.234], ["b", None], ["c", 7]])
    page.add_table(["name"], [["cat, 猫"]])
    figure = new_figure(3, 2)
    figure.subplots().set_title("a & b")
    page.add_figure(figure, EVIL)
    picture = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    page.add_images([(picture, EVIL), (picture[..., 0], "grey")], width=40)
    reader = read(page)
    assert "script" not in reader.tags
    assert reader.tags.count("img") == 3
    assert reader.text.count(EVIL) >= 7
    assert reader.downloads.keys() == {f"{name}.{suffix}" for name in (SLUG, f"{SLUG}_2") for suffix in ("csv", "tex")}
    assert list(csv.reader(io.StringIO(reader.downloads[f"{SLUG}.csv"]))) == [
        *([EVIL, "n"], [EVIL, "1.234"], ["b", ""], ["c", "7"])
    ]
    assert reader.downloads[f"{SLUG}_2.csv"] == '\ufeffname\n"cat, 猫"\n'
    assert reader.tables.pop() == [["name"], ["cat, 猫"]]
    assert reader.tables == [[[EVIL, "n"], [EVIL, "1.23"], ["b", ""], ["c", "7"]]]
    assert not re.search(r"https?:|@import|url\(", page.render())
    embedded = Image.open(io.BytesIO(base64.b64decode(reader.links[1].partition(",")[2])))
    np.testing.assert_array_equal(np.asarray(embedded), picture)
    page.save(tmp_path / "new" / "report.html")
    assert (tmp_path / "new" / "report.html").read_text(encoding="utf-8") == page.render()
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    page = HtmlReport("run of caf\udce9")
    page.save(tmp_path / "report.html")
    assert r"run of caf\udce9" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_numbers_are_right_aligned_by_column() -> None:
    page = HtmlReport("t")
    page.add_table(["name", "value"], [["a", 1], ["b", 2.5]])
    assert '<th>name</th><th class="number">value</th>' in page.render()
    page.add_table(["run_1", "p"], [["a", "0.031"], ["b", "1.2e-77"], ["c", None], ["d", "-"]])
    assert '<th>run_<wbr>1</th><th class="number">p</th>' in page.render()
    page.add_table(["alone"], [])
    assert "<th>alone</th>" in page.render()


@pytest.mark.parametrize("row", [["a"], ["a", "b", "c"]])
def test_a_row_must_fit_the_header(row: list[str]) -> None:
    with pytest.raises(ValueError, match="argument 2"):
        HtmlReport("t").add_table(["one", "two"], [row])


def test_long_tables_can_be_searched_and_sorted() -> None:
    page = HtmlReport("t")
    page.add_table(["number"], [[index] for index in range(11)])
    assert "<script" not in page.render(), "a short one needs no tools"
    page.add_table(["name", "<n>"], [[EVIL, index] for index in range(200)])
    reader = read(page)
    assert reader.tags.count("script") == 1
    assert len(reader.tables[1]) == 201, "without scripts all rows are there"
    script = page.render().partition("<script>")[2].partition("</script>")[0]
    assert "alert" not in script and "fetch" not in script and "://" not in script


@pytest.mark.skipif(shutil.which("node") is None, reason="runs the script of the page")
def test_the_script_sorts_searches_and_collapses(tmp_path: Path) -> None:
    page = HtmlReport("t")
    sizes = [(index * 37) % 100 for index in range(99)]
    page.add_table(["name", "size"], [*([f"class {size}", float(size)] for size in sizes), ["none", None]])
    (tmp_path / "page.html").write_text(page.render(), encoding="utf-8")
    done = subprocess.run(
        ["node", str(Path(__file__).with_name("small_dom.js")), str(tmp_path / "page.html")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert seen["at first"] == "50 of 100, class 0, show all 100 rows"
    assert seen["by size"] == "50 of 100, class 0, ascending"
    assert seen["by size again"] == f"50 of 100, class {max(sizes)}, descending"
    assert seen["last of all"] == "100 of 100, none", "an empty cell comes last in both directions"
    assert seen["by name"] == "class 0, class 1, class 2, class 3", "numbers in names count as numbers"
    assert seen["search"] == "1 of 100, class 17"
