"""Which files of the command line are predicted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mmengine.logging import MMLogger

from lt_plugins.detection.predict import find_images
from lt_plugins.errors import UserInputError
from tests.miniatures import write_image


def test_a_folder_gives_what_is_called_like_an_image(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("b.JPG", "a.gif", ".hidden.png"):
        write_image(tmp_path / name, seed=0)
    (tmp_path / "c.png").symlink_to("nowhere")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "x.heic").touch()
    (tmp_path / "deeper").mkdir()
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        found = find_images([str(tmp_path)])
    finally:
        logger.removeHandler(caplog.handler)
    assert [path.name for path in found] == ["a.gif", "b.JPG", "c.png"]
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: 2 files left out: 1 .heic (x.heic), 1 .txt (notes.txt)"
    ]


def test_files_are_taken_as_they_are(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert find_images([str(tmp_path / "pipe")]) == [tmp_path / "pipe"]
    with pytest.raises(UserInputError, match=r"nothing.png does not exist; give images \(.jpg"):
        find_images([str(tmp_path / "nothing.png")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserInputError, match=r"has no image in it"):
        find_images([str(tmp_path / "empty")])
