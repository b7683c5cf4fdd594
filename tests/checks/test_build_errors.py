"""Whatever a component raises while it is built is one line that names it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from torch import nn

from lt_plugins.errors import UserInputError
from lt_plugins.runs.error_line import error_line
from tests.small_runs import MakeRunner


class Fragile(nn.Module):
    """Raises what it is told to."""

    def __init__(self, error: Any = None, inner: dict | None = None) -> None:
        super().__init__()
        if inner is not None:
            MODELS.build(inner)
        if error is not None:
            raise error
        assert inner == "what is wanted"


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """``Fragile`` for a while."""
    MODELS.register_module(module=Fragile)
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        yield
    MODELS._module_dict.pop("Fragile")


def line(build: Callable[[], Any]) -> str:
    """The message that building ends in."""
    try:
        build()
    except Exception as error:
        message = error_line(error)
    assert message is not None
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "error", [ValueError("a\nb"), KeyError("a b"), TypeError("a b"), ZeroDivisionError("a b"), RuntimeError("a b")]
)
def test_any_exception_is_explained(error: Exception) -> None:
    message = line(lambda: MODELS.build({"type": "Fragile", "error": error}))
    assert message == f"Fragile() cannot be built: {type(error).__name__}: a b"


def test_an_assertion_without_words_shows_its_condition() -> None:
    message = line(lambda: MODELS.build({"type": "Fragile"}))
    assert message.startswith("Fragile() cannot be built: AssertionError: assert ")
    mixup = {"type": "ClsDataPreprocessor", "batch_augments": {"augments": {"type": "Mixup", "alpha": -1.0}}}
    assert "AssertionError: assert isinstance(alpha, float) and alpha > 0" in line(lambda: MODELS.build(mixup))


def test_arguments() -> None:
    assert "LinearClsHead(num_classes=-3, in_channels=4) cannot be built: ValueError" in line(
        lambda: MODELS.build({"type": "LinearClsHead", "num_classes": -3, "in_channels": 4})
    )
    assert line(lambda: MODELS.build({"type": "LinearClsHead", "num_clases": 3, "in_channels": 4})) == (
        "LinearClsHead has no argument 'num_clases'; did you mean 'num_classes'?"
    )
    missing = {"type": "Fragile", "inner": {"type": "LinearClsHead", "num_classes": 3}}
    assert "LinearClsHead(num_classes=3) of Fragile cannot be built: TypeError" in line(lambda: MODELS.build(missing))
    assert "a part of Fragile cannot be built" in line(lambda: MODELS.build({"type": "Fragile", "inner": "x"}))


def test_errors_with_words_of_their_own_pass() -> None:
    for error in (UserInputError("mine"), FileNotFoundError("mine")):
        assert line(partial(MODELS.build, {"type": "Fragile", "error": error})) == "mine"
    assert error_line(ZeroDivisionError("nothing was being built")) is None, "a bug"


def test_parts_of_the_runner(make_runner: MakeRunner) -> None:
    def train() -> None:
        make_runner(resident=False, **{"train_dataloader.num_workers": -1}).train()

    assert line(train).startswith("a data loader of the config cannot be built: ValueError")
