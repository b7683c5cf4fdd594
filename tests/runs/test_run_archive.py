"""Archives of runs: all records, the last checkpoint of what is to be resumed, in files of bounded size."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from lt_plugins.errors import UserInputError
from lt_plugins.runs import run_archive
from lt_plugins.runs.run_archive import archive_runs, last_checkpoint, unpack_runs

NAMES = ("runs", "table.md", "not-there")


def write_run(folder: Path, epochs: tuple[int, ...], size: int = 8, stage1: bool = False) -> Path:
    """What training leaves."""
    for place in (folder / "stage1", folder) if stage1 else (folder,):
        place.mkdir(parents=True, exist_ok=True)
        (place / "scalars.json").write_text("{}")
        (place / "predictions.npz").write_text("large")
        for epoch in epochs:
            (place / f"epoch_{epoch}.pth").write_bytes(bytes([epoch]) * size)
            (place / "last_checkpoint").write_text(f"/elsewhere/{place.name}/epoch_{epoch}.pth")
    return folder


def contents(out: Path) -> dict[str, set[str]]:
    """Members by archive."""
    found = {}
    for path in sorted(out.iterdir()):
        with tarfile.open(path) as file:
            found[path.name] = set(file.getnames())
    return found


def test_there_and_back(tmp_path: Path) -> None:
    work, out, other = tmp_path / "work", tmp_path / "out", tmp_path / "other"
    done = write_run(work / "runs/done+lt50", (1, 2))
    going = write_run(work / "runs/going", (3, 4), stage1=True)
    begun = write_run(work / "runs/begun", ())
    (work / "table.md").write_text("| a |")
    write_run(work / "packages", (1,))
    assert archive_runs(work, NAMES, [going, begun], out) == []
    records = {"table.md", *(f"runs/{name}/scalars.json" for name in ("done+lt50", "going", "going/stage1", "begun"))}
    checkpoints = {"runs/going/epoch_4.pth", "runs/going/last_checkpoint"}
    assert contents(out) == {"records.tar.gz": records, "checkpoints-1.tar": checkpoints}
    assert unpack_runs(out, other) == len(records | checkpoints)
    assert (other / "runs/going/epoch_4.pth").read_bytes() == bytes([4]) * 8
    assert last_checkpoint(other / "runs/going") == other / "runs/going/epoch_4.pth"
    (other / "table.md").write_text("newer")
    assert unpack_runs(out, other) == 0 and (other / "table.md").read_text() == "newer"
    assert archive_runs(work, NAMES, [], out) == [], "all is finished"
    assert [*contents(out)] == ["records.tar.gz"] and last_checkpoint(done) is not None


def test_a_run_between_two_stages_resumes_from_the_first(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", (7,), stage1=True)
    (run / "last_checkpoint").unlink()
    assert last_checkpoint(run) == run / "stage1" / "epoch_7.pth"
    (run / "stage1" / "epoch_7.pth").unlink()
    assert last_checkpoint(run) is None


def test_parts_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_archive, "PART_BYTES", 1000)
    monkeypatch.setattr(run_archive, "MIB", 16 * 100)  # headers of 100 bytes
    work = tmp_path / "work"
    sizes = (300, 700, 300, 800, 2000, 600, 200, 500)
    runs = [write_run(work / "runs" / str(number), (1,), size) for number, size in enumerate(sizes)]
    left = archive_runs(work, ["runs"], runs, tmp_path / "out")
    found = contents(tmp_path / "out")
    numbers = {name: {Path(member).parts[1] for member in members} for name, members in found.items()}
    assert numbers == {
        "records.tar.gz": set("01234567"),
        "checkpoints-1.tar": {"0", "2"},
        "checkpoints-2.tar": {"1"},
        "checkpoints-3.tar": {"3"},
        "checkpoints-4.tar": {"5", "6"},
    }
    assert left == [runs[4], runs[7]], "too large alone, and no room left"


def test_what_is_no_archive_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match=r"has no records\.tar\.gz; give the folder that --out"):
        unpack_runs(tmp_path, tmp_path / "work")
    (tmp_path / "records.tar.gz").write_text("no")
    with pytest.raises(UserInputError, match=r"records\.tar\.gz cannot be unpacked"):
        unpack_runs(tmp_path, tmp_path / "work")
