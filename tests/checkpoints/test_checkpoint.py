"""Checkpoints are read without running them, and refused with one line where they do not serve."""

from __future__ import annotations

import os
import pickle
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader
from mmpretrain.registry import MODELS
from torch import nn

from lt_plugins.checkpoints.backbone import write_backbone
from lt_plugins.checkpoints.checkpoint import find_last_checkpoint, find_resume_problem, guard_pickles, load_checkpoint
from lt_plugins.checkpoints.checkpoint_fit import check_checkpoint_fit
from lt_plugins.checkpoints.safetensors_file import pack_safetensors
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import ClassDistribution


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


def test_threads_that_read_at_the_same_time(tmp_path: Path) -> None:
    history = HistoryBuffer([1.0], [1])
    torch.save({"state_dict": {}, "message_hub": {"log_scalars": {"train/loss": history}}}, tmp_path / "epoch_1.pth")
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda _: load_checkpoint(tmp_path / "epoch_1.pth", mmap=True), range(200)))
    assert all(one["message_hub"]["log_scalars"]["train/loss"].current() == 1.0 for one in read)


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


WRONG = {
    "state_dict is a list": ({"state_dict": [torch.ones(1)]}, "has a list as state_dict"),
    "state_dict is None": ({"state_dict": None}, "has a NoneType as state_dict"),
    "a tensor alone": (torch.ones(3), "holds a Tensor"),
    "an int": (3, "holds a int"),
    "nothing": ({}, "holds no state_dict"),
    "other entries": ({"model": {"a": torch.ones(1)}, "args": 3}, r"holds no state_dict \(it has: model, args\)"),
    "a number": ({"state_dict": {"backbone.a": 3}}, "has a int as 'backbone.a'"),
    "nested": ({"state_dict": {"backbone": {"a": torch.ones(1)}}}, "has a dict as 'backbone'"),
    "nested alone": ({"a": torch.ones(1), "b": [1]}, "has a list as 'b'"),
    "numbers as keys": ({"state_dict": {0: torch.ones(1)}}, "has the key '0'"),
    "sparse": ({"state_dict": {"a": torch.ones(2, 2).to_sparse()}}, "tensor a in .* has a sparse"),
    "without data": ({"state_dict": {"a": torch.ones(2, device="meta")}}, "tensor a in .* has no data"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_checkpoint_of_the_wrong_shape_is_one_line(case: str, tmp_path: Path) -> None:
    content, message = WRONG[case]
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(UserInputError, match=message) as caught:
        load_checkpoint(tmp_path / "a.pth")
    assert "\n" not in str(caught.value) and str(tmp_path / "a.pth") in str(caught.value)


def test_a_checkpoint_that_contains_itself(tmp_path: Path) -> None:
    content: dict[str, Any] = {"state_dict": {"a": torch.ones(1)}}
    content["self"] = content
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(UserInputError, match="contains itself"):
        load_checkpoint(tmp_path / "a.pth")


def test_foreign_entries_that_nobody_reads_do_not_matter(tmp_path: Path) -> None:
    weights = {"a": torch.ones(1)}
    for content in (
        {"state_dict": weights, "meta": "notes", "optimizer": 3},
        {"state_dict": weights, "meta": {"epoch": "last", "iter": None}},
        weights,
    ):
        torch.save(content, tmp_path / "a.pth")
        loaded = load_checkpoint(tmp_path / "a.pth")
        assert "epoch" not in loaded.get("meta", {})
        assert find_resume_problem(loaded) is not None


BYTES = {
    "a sentence": b"A plain text file, which is no checkpoint.\n",
    "a list": b"train/a.jpg 0\ntrain/b.jpg 1\n",
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "a web page": b"<!DOCTYPE html><html></html>",
    "JSON": b'{"state_dict": {}}',
    "zeros": bytes(1000),
    "an image": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "an empty archive": b"PK\x05\x06" + bytes(18),
    "gzip": b"\x1f\x8b\x08\x00" + bytes(50),
    "one byte": b".",
    "a pickle's end": b"\x80\x02.",
}


@pytest.mark.parametrize("kind", BYTES)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ""])
def test_a_file_of_another_kind_is_one_line(kind: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(BYTES[kind])
    for allow_pickle in (False, True):
        with pytest.raises(UserInputError) as caught:
            load_checkpoint(path, allow_pickle=allow_pickle)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value) and len(str(caught.value)) < 500


def test_what_is_no_file_is_one_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, message in {tmp_path: "is a folder", tmp_path / "fifo": "is no regular file"}.items():
        with pytest.raises(UserInputError, match=message):
            load_checkpoint(path)


def test_the_tar_format_of_2016(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.pth", "w") as archive:
        archive.add(__file__, "storages")
    with pytest.raises(UserInputError, match="tar format of 2016"):
        load_checkpoint(tmp_path / "a.pth")


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ftp://host/a.pth", "no loader for ftp://"),
        ("hf://owner/a.pth", "no loader for hf://"),
        ("gs+x://a.pth", r"no loader for gs\+x://"),
        ("s3://bucket/a.pth", "could not be fetched"),
        ("pavi://a", "could not be fetched"),
        ("torchvision://no_such_model", "could not be fetched"),
        ("open-mmlab://no_such_model", "could not be fetched"),
        ("http://127.0.0.1:9/a.pth", "could not be fetched"),
        ("http://[broken/a.pth", "could not be fetched"),
    ],
)
def test_an_address_that_leads_nowhere_is_one_line(address: str, message: str) -> None:
    for load in (load_checkpoint, lambda name: CheckpointLoader.load_checkpoint(name, "cpu")):
        with pytest.raises(UserInputError, match=message) as caught:
            load(address)
        assert "\n" not in str(caught.value) and address in str(caught.value)


def test_safetensors_are_read_by_mmengine_and_verified(tmp_path: Path) -> None:
    path, weights = tmp_path / "a.safetensors", {"backbone.a": torch.arange(100.0), "backbone.b": torch.ones(2, 2)}
    path.write_bytes(pack_safetensors(weights))
    for loaded in (load_checkpoint(path), CheckpointLoader.load_checkpoint(str(path), "cpu")):
        assert all(torch.equal(loaded["state_dict"][key], value) for key, value in weights.items())
    assert all(torch.equal(safetensors.torch.load_file(path)[key], value) for key, value in weights.items())
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserInputError, match="checksum does not match"):
        load_checkpoint(path)
    safetensors.torch.save_file(weights, path)  # by others, without a checksum
    assert torch.equal(load_checkpoint(path)["state_dict"]["backbone.a"], weights["backbone.a"])


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_initialisation_is_checked_as_load_from_is(suffix: str, tmp_path: Path) -> None:
    """A ResNet-34 finds more than half of its tensors in a ResNet-18."""
    path = tmp_path / f"resnet18{suffix}"
    write_backbone(MODELS.build({"type": "ResNet", "depth": 18}).state_dict(), path)
    init_cfg = {"type": "Pretrained", "checkpoint": str(path), "prefix": "backbone."}

    def build(depth: int, **options: Any) -> Any:
        model = MODELS.build({"type": "ResNet", "depth": depth, "init_cfg": {**init_cfg, **options}})
        model.init_weights()
        return model

    assert torch.equal(build(18).conv1.weight, load_checkpoint(path)["state_dict"]["backbone.conv1.weight"])
    with pytest.raises(UserInputError, match=r"only \d+ of the \d+ tensors of the ResNet are in .*resnet18"):
        build(34)
    with pytest.raises(UserInputError, match=r"nothing under the prefix 'encoder\.' \(it has backbone\)"):
        build(18, prefix="encoder")
    build(18, prefix=None)  # which finds the prefix
    build(34, min_fraction=0.5)
    whole = nn.ModuleDict({"backbone": MODELS.build({"type": "ResNet", "depth": 34})})
    state = load_checkpoint(path)["state_dict"]
    with pytest.raises(UserInputError, match=r"only \d+ of the \d+ tensors of the backbone"):
        check_checkpoint_fit(whole, state, "a.pth", "initialise")


def test_a_transformer_may_resize_its_position_embedding() -> None:
    small, large = (MODELS.build({"type": "VisionTransformer", "arch": "deit-t", "img_size": s}) for s in (32, 64))
    assert small.pos_embed.shape != large.pos_embed.shape
    check_checkpoint_fit(large, small.state_dict(), "a.pth", "initialise")
