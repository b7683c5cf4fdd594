"""Names and hashes of the backbones that a sweep of detectors starts from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from lt_plugins.errors import UserInputError
from lt_plugins.runs.named_backbone import NamedBackbone, parse_backbone


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "sbcl" / "stage1" / "epoch_200.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    return path


def test_names(weights: Path, tmp_path: Path) -> None:
    file = tmp_path / "ce.pth"
    file.touch()
    assert parse_backbone("random") == ("random", "random")
    assert parse_backbone(str(file)) == ("ce", str(file))
    assert parse_backbone(str(weights)) == ("sbcl", str(weights)), "the folder of the run, not stage1"
    assert parse_backbone(f"mine={weights}") == ("mine", str(weights))
    with pytest.raises(UserInputError, match=r"none\.pth does not exist"):
        parse_backbone("ce=none.pth")
    with pytest.raises(UserInputError, match="the name 'a/b' may have"):
        parse_backbone(f"a/b={file}")


def test_hash(weights: Path) -> None:
    assert NamedBackbone("a", str(weights)).sha256() == hashlib.sha256(b"weights").hexdigest()
    assert parse_backbone("random").sha256() is None
