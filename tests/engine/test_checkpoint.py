"""Checkpoints are read without running them, and refused with one line where they do not serve."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from lt_plugins.engine import check_checkpoint_fit, find_last_checkpoint, guard_pickles, load_checkpoint
from lt_plugins.errors import UserInputError
from lt_plugins.structures import ClassDistribution


class Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


class GetAttribute:
    """Asks for an attribute that is none of a log's statistics."""

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (HistoryBuffer, "__init__")


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    schemes = CheckpointLoader._schemes.copy()
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "0")
    guard_pickles(allow_pickle=False)
    yield
    CheckpointLoader._schemes = schemes


def test_what_mmengine_saves_is_readable(tmp_path: Path) -> None:
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    saved = {
        "meta": {"epoch": 1, "dataset_meta": {"classes": ("a", "b")}, "palette": np.arange(4, dtype=np.uint8)},
        "state_dict": nn.Linear(2, 2).state_dict(),
        "message_hub": {"log_scalars": {"loss": history}, "runtime_info": {"best": np.float64(3)}},
    }
    torch.save(saved, tmp_path / "a.pth")
    loaded = load_checkpoint(tmp_path / "a.pth")
    assert loaded["message_hub"]["log_scalars"]["loss"].mean() == 1.5
    assert loaded["message_hub"]["runtime_info"]["best"] == 3
    np.testing.assert_array_equal(loaded["meta"]["palette"], np.arange(4))
    assert torch.equal(loaded["state_dict"]["weight"], saved["state_dict"]["weight"])


@pytest.mark.parametrize("zipped", [True, False])
def test_malicious_pickle_is_refused_and_allowed_on_request(zipped: bool, tmp_path: Path) -> None:
    marker, path = tmp_path / "executed", tmp_path / "evil.pth"
    torch.save({"state_dict": {}, "meta": Touch(marker)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserInputError, match="--allow-pickle"):
        load_checkpoint(path)
    assert not marker.exists()
    load_checkpoint(path, allow_pickle=True)
    assert marker.exists()


def test_getattr_serves_the_logs_only(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "meta": GetAttribute()}, tmp_path / "a.pth")
    with pytest.raises(UserInputError, match="getattr"):
        load_checkpoint(tmp_path / "a.pth")


@pytest.mark.usefixtures("guarded")
def test_mmengine_does_not_fall_back_to_the_pickle(tmp_path: Path) -> None:
    marker, path = tmp_path / "executed", tmp_path / "evil.pth"
    torch.save({"state_dict": Touch(marker)}, path)
    with pytest.raises(UserInputError, match="--allow-pickle"):
        CheckpointLoader.load_checkpoint(str(path), "cpu")
    with pytest.raises(pickle.UnpicklingError):  # what a model zoo's loader calls
        torch.load(path, weights_only=False)
    assert not marker.exists()


@pytest.mark.usefixtures("guarded")
def test_config_inside_a_checkpoint_is_not_executed(tmp_path: Path) -> None:
    marker, path = tmp_path / "executed", tmp_path / "evil.pth"
    text = f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n"
    torch.save({"state_dict": {}, "meta": {"config": text, "epoch": 1, "iter": 1}}, path)
    checkpoint = CheckpointLoader.load_checkpoint(str(path), "cpu")
    assert "config" not in checkpoint["meta"]
    assert not marker.exists()
    Config.fromstring(text, ".py")  # what mmengine's resume does with that entry
    assert marker.exists()


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.98])
def test_cut_off_file(keep: float, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"state_dict": nn.Linear(64, 64).state_dict()}, path)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(UserInputError, match=r"cut off|damaged") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_not_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match="does not exist"):
        load_checkpoint(tmp_path / "none.pth")
    for content in (b"hello, this is no checkpoint", b"\x80\x02hello", b"PK\x05\x06" + bytes(18)):
        (tmp_path / "a.pth").write_bytes(content)
        with pytest.raises(UserInputError, match="not a checkpoint"):
            load_checkpoint(tmp_path / "a.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(UserInputError, match="holds a list"):
        load_checkpoint(tmp_path / "list.pth")


def test_find_last_checkpoint_follows_a_moved_folder(tmp_path: Path) -> None:
    assert find_last_checkpoint(tmp_path) is None
    (tmp_path / "last_checkpoint").write_text("/somewhere/else/epoch_3.pth")
    with pytest.raises(UserInputError, match="which is gone"):
        find_last_checkpoint(tmp_path)
    (tmp_path / "epoch_3.pth").touch()
    assert find_last_checkpoint(tmp_path) == str(tmp_path / "epoch_3.pth")


def _model(width: int = 4, classes: int = 3) -> nn.Module:
    model = nn.Module()
    model.backbone = nn.Sequential(nn.Linear(2, width), nn.Linear(width, width))
    model.head = nn.Linear(width, classes)
    model.class_distribution = ClassDistribution(classes)
    return model


def test_checkpoint_of_the_same_model_fits_every_purpose() -> None:
    for purpose in ("resume", "test", "initialise"):
        check_checkpoint_fit(_model(), _model().state_dict(), "a.pth", purpose)


def test_resume_refuses_any_difference() -> None:
    with pytest.raises(UserInputError, match=r"a\.pth is a checkpoint of another model: 4 of 7 tensors fit, 3 do not"):
        check_checkpoint_fit(_model(), _model(classes=5).state_dict(), "a.pth", "resume")
    extra = _model().state_dict() | {"queue": torch.zeros(1)}
    with pytest.raises(UserInputError, match=r"queue \(not in the model, \(1,\) in the file\)"):
        check_checkpoint_fit(_model(), extra, "a.pth", "resume")


def test_testing_needs_all_weights_but_not_the_counts() -> None:
    state = _model().state_dict()
    del state["class_distribution.counts"]
    check_checkpoint_fit(_model(), state | {"queue": torch.zeros(1)}, "a.pth", "test")
    del state["head.bias"]
    with pytest.raises(UserInputError, match=r"head.bias \(\(3,\) in the model, not in the file\)"):
        check_checkpoint_fit(_model(), state, "a.pth", "test")


def test_initialising_needs_the_backbone_only() -> None:
    state = {key: value for key, value in _model(classes=9).state_dict().items() if key.startswith("backbone.")}
    check_checkpoint_fit(_model(), state, "a.pth", "initialise")
    with pytest.raises(UserInputError, match="only 0 of the 4 tensors of the backbone"):
        check_checkpoint_fit(_model(), {"fc.weight": torch.zeros(3, 4)}, "a.pth", "initialise")
    with pytest.raises(UserInputError, match="same backbone"):
        check_checkpoint_fit(_model(), _model(width=8).state_dict(), "a.pth", "initialise")
