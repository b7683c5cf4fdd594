"""Each tutorial is followed from its first line to its last: files, commands as written, output, pictures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from lt_plugins.errors import UserInputError
from tests.docs.page_commands import missing_lines, run_command, shortening, write_photos
from tools.dev import tutorials
from tools.dev.tutorials import PAGES, Picture, WriteFile, make_workspace, read_page, shown_lines

TUTORIALS = sorted(page.name for page in PAGES.glob("*.md") if page.name != "README.md")


@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_runs_as_it_stands(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (PAGES / name).read_text(encoding="utf-8")
    make_workspace(tmp_path)
    monkeypatch.chdir(tmp_path)
    for photos in re.findall(r"\b(?:my|new)_photos\b", text):
        write_photos(tmp_path / photos)
    for step in read_page(text):
        if isinstance(step, WriteFile):
            Path(step.name).write_text(step.text)
        elif isinstance(step, Picture):
            for picture in (Path(step.drawn), PAGES / step.shown):
                with Image.open(picture) as image:
                    assert min(image.size) > 200, picture
        else:
            printed = "".join(run_command(command, tmp_path, shortening(text)) for command in step.commands)
            for output in step.outputs:
                assert output.text.strip(), f"{step.commands}: its output is not in the page: make tutorials"
                missing = missing_lines(output.text, printed)
                assert not missing, f"{step.commands} no longer prints this; run make tutorials\n{missing}\n{printed}"


def test_every_fence_of_a_tutorial_is_a_step() -> None:
    """Nothing is shown as code that is not run, and every picture is drawn by the page."""
    for name in TUTORIALS:
        text = (PAGES / name).read_text(encoding="utf-8")
        steps = read_page(text)
        outputs = [output for step in steps if isinstance(step, tutorials.Run) for output in step.outputs]
        assert text.count("```") == 2 * (len(outputs) + sum(not isinstance(step, Picture) for step in steps)), name
        assert len(re.findall(r"!\[", text)) == sum(isinstance(step, Picture) for step in steps), name


def test_the_generator_writes_output_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, workspace = tmp_path / "page.md", tmp_path / "workspace"
    workspace.mkdir()
    page.write_text(
        "```python\n# draw.py\nfrom PIL import Image\nImage.new('L', (4, 3)).save('drawn.png')\n"
        "print('first 1.5 s')\nprint('second')\nprint('third', flush=True)\nraise SystemExit(3)\n```\n\n"
        "```bash\n# a comment\npython draw.py \\\n    --x   # stops\necho fourth\n```\n\n"
        "<!-- output of lines with `^(first|third|fourth)` -->\n```text\nold\n```\n\n"
        "<!-- picture `drawn.png` -->\n![Nothing](shown.png)\n"
    )
    text = tutorials.follow(page, workspace)
    assert "```text\nfirst … s\n...\nthird\nfourth\n```\n" in text
    assert text.replace("first … s\n...\nthird\nfourth\n", "old\n") == page.read_text()
    assert Image.open(tmp_path / "shown.png").size == (4, 3)
    assert capsys.readouterr().out == "  python draw.py --x   # stops\n  echo fourth\n"


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("```python\nx = 1\n```\n", "the first line of this code must name its file"),
        ("<!-- output -->\n```text\n```\n", "no commands stand before the output at character 0"),
        ("```bash\nfalse\n```\n", "false ended with 1"),
        ("```bash\ntrue # it stops\n```\n", "true # it stops ended with 0"),
        ("```bash\necho a\n```\n<!-- output of lines with `b` -->\n```text\n```\n", "no line of this output holds 'b'"),
        ("<!-- picture `a.png` -->\n![A](b.png)\n", "have drawn no a.png"),
    ],
)
def test_what_a_page_cannot_hold(page: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(page)
    with pytest.raises(UserInputError, match=message):
        tutorials.follow(tmp_path / "page.md", tmp_path)


def test_lines_of_an_output() -> None:
    assert shown_lines("a\nb \nc\nb\n\n", "") == ["a", "b", "c", "b"]
    assert shown_lines("a\nb\nc\nd\n", "b|d") == ["b", "...", "d"]
    page = "epoch 30  top1: 92.0000\n...\n| ce | 75.1 ± 7.4 | --- |\n"
    assert missing_lines(page, "epoch 1 top1: 9.1\n| ce |   nan  | ---- |") == []
    assert missing_lines(page, "epoch 1  loss: 9.1\n| ce | 3.0 | - | 1\n") == page.splitlines()[::2]
