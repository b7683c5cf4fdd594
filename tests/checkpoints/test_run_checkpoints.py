"""The last checkpoint of a run that can be read is found by its contents, and a new run does not overwrite it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.checkpoints.run_checkpoints import (
    find_results,
    load_last_checkpoint,
    open_checkpoint,
    refuse_overwriting,
    remove_results,
    resolve_checkpoint,
)
from lt_plugins.errors import UserInputError


def write_checkpoint(path: Path, epoch: int) -> Path:
    """A checkpoint that a run can be resumed from."""
    torch.save(
        {
            "meta": {"epoch": epoch, "iter": 10 * epoch},
            "state_dict": {"weight": torch.full((1000,), 1.5)},
            "message_hub": {"log_scalars": {}, "runtime_info": {}, "resumed_keys": {}},
            "optimizer": {"state": {}, "param_groups": []},
        },
        path,
    )
    return path


def flip(path: Path) -> None:
    """Flip one bit inside a tensor."""
    data = bytearray(path.read_bytes())
    place = data.index(torch.full((1000,), 1.5).numpy().tobytes())
    data[place + 2000] ^= 1
    path.write_bytes(data)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of 12 epochs, of which two checkpoints are kept; by name the older one would come last."""
    for epoch in (9, 12):
        write_checkpoint(tmp_path / f"epoch_{epoch}.pth", epoch)
    torch.save({"state_dict": {"weight": torch.ones(1)}}, tmp_path / "pretrained.pth")
    (tmp_path / "last_checkpoint").write_text("/elsewhere/epoch_12.pth")
    return tmp_path


def test_a_flipped_bit_in_a_tensor_is_noticed(run: Path) -> None:
    flip(run / "epoch_12.pth")
    with pytest.raises(UserInputError, match=r"epoch_12\.pth is damaged .*checksum of .*data/0 does not match"):
        load_checkpoint(run / "epoch_12.pth")


def test_every_flipped_byte_is_noticed_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    tensor = torch.arange(8.0)
    torch.save({"state_dict": {"weight": tensor}, "meta": {"epoch": 3}}, path)
    data, noticed = path.read_bytes(), 0
    for place in range(0, len(data), 3):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        try:
            loaded = load_checkpoint(path)
        except UserInputError:
            noticed += 1
        else:
            assert torch.equal(loaded["state_dict"]["weight"], tensor) and loaded["meta"] == {"epoch": 3}
    assert noticed > len(data) / 6


def test_the_named_checkpoint_is_the_last(run: Path) -> None:
    last = load_last_checkpoint(run)
    assert last is not None and (last.path, last.note) == (run / "epoch_12.pth", None)
    assert load_last_checkpoint(run / "none") is None
    assert open_checkpoint(run).path == run / "epoch_12.pth"
    assert resolve_checkpoint(str(run)) == str(run / "epoch_12.pth")
    assert resolve_checkpoint("some.pth") == "some.pth"


DAMAGES = {
    "flipped bit": (lambda run: flip(run / "epoch_12.pth"), "epoch_12.pth is damaged"),
    "cut off": (lambda run: (run / "epoch_12.pth").write_bytes(b"PK\3\4"), "epoch_12.pth is cut off"),
    "a text": (lambda run: (run / "epoch_12.pth").write_text("gone"), "it is a text file"),
    "not finished": (lambda run: (run / "epoch_12.pth").unlink(), "names /elsewhere/epoch_12.pth, which is gone"),
    "no pointer": (lambda run: [(run / n).unlink() for n in ("last_checkpoint", "epoch_12.pth")], "is missing"),
    "no text": (
        lambda run: [(run / "last_checkpoint").write_bytes(b"\xff\0\n"), (run / "epoch_12.pth").unlink()],
        "which is gone",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_one_before_takes_its_place(damage: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    harm, cause = DAMAGES[damage]
    harm(run)
    last = load_last_checkpoint(run)
    assert last is not None and last.path == run / "epoch_9.pth"
    assert last.note is not None and cause in last.note and str(run / "epoch_9.pth") in last.note
    assert resolve_checkpoint(str(run)) == str(run / "epoch_9.pth")
    assert capsys.readouterr().err == f"warning: {last.note}\n"
    flip(run / "epoch_9.pth")
    with pytest.raises(UserInputError, match=r"no other checkpoint in .* can be resumed from"):
        load_last_checkpoint(run)


def test_the_newest_is_told_by_its_contents(run: Path) -> None:
    (run / "last_checkpoint").unlink()
    (run / "epoch_9.pth").rename(run / "zzz.pth")
    last = load_last_checkpoint(run)
    assert last is not None and last.path == run / "epoch_12.pth"


def test_results_are_not_overwritten(run: Path) -> None:
    (run / "best_score_epoch_3.pth").touch()
    assert {path.name for path in find_results(run)} == {
        "epoch_9.pth", "epoch_12.pth", "best_score_epoch_3.pth", "last_checkpoint",
    }  # fmt: skip
    with pytest.raises(UserInputError, match=r"holds .* --resume, give another --work-dir, .* --overwrite\.$"):
        refuse_overwriting(run)
    with pytest.raises(UserInputError) as caught:
        refuse_overwriting(run, is_resumed=True)
    assert "--resume" not in str(caught.value)
    remove_results(run)
    assert [path.name for path in run.iterdir()] == ["pretrained.pth"]
    refuse_overwriting(run)
    refuse_overwriting(run / "none")


def test_a_folder_without_checkpoints_has_none_to_open(tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match="has no checkpoint yet"):
        open_checkpoint(tmp_path)
