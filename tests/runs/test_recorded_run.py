"""A run that is a cell of a table: its record is checked, and what others have put in its folder is one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lt_plugins.errors import UserInputError
from lt_plugins.runs.recorded_run import RecordedRun


def make(folder: Path, seed: int = 0) -> RecordedRun:
    """A run of a sweep."""
    return RecordedRun(f"a, seed {seed}", folder, "a.py", seed, ["b=1"], "sweep.json")


def write_start(folder: Path, config: str = "train_cfg = dict(max_epochs=2)\n") -> None:
    """What training leaves."""
    start = folder / "20260101_000000" / "vis_data"
    start.mkdir(parents=True, exist_ok=True)
    (start / "config.py").write_text(config)
    rows = [{"loss": 1.0, "epoch": 2, "iter": 4, "step": 4}, {"shot/few": 3.0, "step": 2}]
    (start / "scalars.json").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "3", "\0", "[" * 100_000, "\udcff"], ids=range(8))
def test_a_foreign_record_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserInputError, match=r"sweep\.json cannot be read as a JSON object .* --work-dir") as caught:
        make(tmp_path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize("text", ["{", "[1]", '{"few": "many"}', '{"few": [1]}', '{"few": null}'])
def test_foreign_metrics_are_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "tested.json").write_text(text)
    with pytest.raises(UserInputError, match=r"tested\.json cannot be read as .*; delete it to test again"):
        make(tmp_path).metrics()


def test_metrics_of_the_last_epoch(tmp_path: Path) -> None:
    assert make(tmp_path).metrics() is None
    write_start(tmp_path)
    assert make(tmp_path).metrics() == {"step": 2, "shot/few": 3.0}
    write_start(tmp_path, "train_cfg = dict(max_epochs=3)\n")
    assert make(tmp_path).metrics() is None
    for config in ("train_cfg = 3\n", "train_cfg = dict(max_epochs='x')\n", "\n", "train_cfg = (\n"):
        write_start(tmp_path, config)
        with pytest.raises(UserInputError, match=r"expected (dict|int)|cannot be read as a config"):
            make(tmp_path).metrics()
