"""A user error is the same line wherever it was raised."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader, Dataset

from lt_plugins.errors import UserInputError, original_message, split_report


class Broken(Dataset):
    """Raises an error for each image."""

    def __init__(self, error: Exception, cause: Exception | None = None) -> None:
        self.error, self.cause = error, cause

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> torch.Tensor:
        raise self.error from self.cause


@pytest.mark.parametrize("cause", [None, FileNotFoundError(2, "No such file", "a.jpg"), ValueError("x: y\nz: w")])
def test_from_a_data_loader_worker(cause: Exception | None) -> None:
    error = UserInputError("cannot read image a: b.jpg; see check.py")
    with pytest.raises(UserInputError) as caught:
        next(iter(DataLoader(Broken(error, cause), num_workers=1)))
    assert str(caught.value) == "cannot read image a: b.jpg; see check.py"


def test_from_a_thread_of_data_parallel() -> None:
    try:
        raise UserInputError("too\n  small")
    except UserInputError:
        wrapper = ExceptionWrapper(where="in replica 0 on device 0")
    with pytest.raises(UserInputError, match=r"^too\n  small$"):
        wrapper.reraise()


def test_from_a_spawned_process() -> None:
    report = (
        "\n\n-- Process 0 terminated with the following error:\nTraceback (most recent call last):\n"
        '  File "x.py", line 3, in f\n    raise UserInputError("a: b")\nlt_plugins.errors.UserInputError: a: b\n'
    )
    assert split_report(report) == ("lt_plugins.errors.UserInputError", "a: b")


def test_other_texts_stay() -> None:
    for text in ("", "Caught a fish.", "Traceback (most recent call last):\n  x\nA: b", "a\nOriginal Traceback"):
        assert original_message(text) == text
    assert str(UserInputError("a: b")) == "a: b"


def test_from_a_pool() -> None:
    assert str(pickle.loads(pickle.dumps(UserInputError("one line")))) == "one line"
