"""The summary before training and what stops it."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

from lt_plugins.engine import preflight_summary
from lt_plugins.engine.preflight import check_classes
from lt_plugins.errors import UserInputError
from lt_plugins.structures import ClassDistribution
from tests.engine.conftest import MakeRunner


def test_summary_says_what_is_about_to_happen() -> None:
    model = nn.Module()
    model.backbone, model.head = nn.Sequential(nn.Linear(2000, 10), nn.BatchNorm1d(10)), nn.Module()
    model.backbone[0].weight.requires_grad_(False)
    model.head.loss_module = nn.CrossEntropyLoss()
    model.class_distribution = ClassDistribution(3)
    model.class_distribution.set_counts([400, 50, 4])
    model.register_buffer("queue", torch.zeros(1024, 256))
    text = preflight_summary(
        model, "Wrapper(Data)", ["SomeHook"], device="cpu", world_size=4, batch_size=32, num_batches=7, max_epochs=9
    )
    lines = dict(line.split("  ", 1) for line in text.splitlines())
    rows = {name: value.strip() for name, value in lines.items()}
    assert rows["data"] == "Wrapper(Data): 454 images, 3 classes, imbalance factor 100"
    assert rows["shots"] == "1 many (> 100 images), 1 medium, 1 few (< 20)"
    assert rows["method"] == "Module(Sequential, Module with CrossEntropyLoss), SomeHook"
    assert rows["device"] == "4 processes on cpu"
    assert rows["schedule"] == "9 epochs of 7 steps, batch 32 x 4 = 128"
    assert rows["model"] == "0.02 M parameters, 30 of them trained"
    assert rows["tables"].startswith("1.0 MB: queue (1024, 256) 1.0 MB, class_distribution.counts (3,) 0.0 KB")


def test_empty_classes_must_be_allowed() -> None:
    counts = torch.tensor([3, 0, 2, 0])
    check_classes(counts, allow_empty_classes=True)
    with pytest.raises(UserInputError, match=r"2 of 4 classes have no training image \(classes 1, 3\)"):
        check_classes(counts, allow_empty_classes=False)


def test_printed_once_before_training(make_runner: MakeRunner, caplog: pytest.LogCaptureFixture) -> None:
    runner = make_runner(**{"train_cfg.max_epochs": 1})
    messages: list[str] = []
    runner.logger.info = messages.append
    assert runner.logger.level <= logging.ERROR
    runner.train()
    summaries = [message for message in messages if "imbalance factor 8" in message]
    assert len(summaries) == 1
    assert "ResNetCIFAR32, GlobalAveragePooling, LinearClsHead with CrossEntropyLoss" in summaries[0]
    assert "LongTailDataset(DigitsDataset)" in summaries[0]


def test_stops_where_training_cannot_work(make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserInputError, match=r"train_dataloader has \d+ images but yields no batch of 64"):
        make_runner(param_scheduler=None, **{"train_dataloader.drop_last": True}).train()

    def broken(*_: object) -> None:
        raise FileNotFoundError("no such image: a.jpg")

    runner = make_runner()
    monkeypatch.setattr(type(runner.val_dataloader.dataset), "__getitem__", broken)
    with pytest.raises(
        UserInputError, match=r"image 0 of the (train|val) data set cannot be read \(no such image: a.jpg"
    ):
        runner.train()


def test_needs_the_class_counts(make_runner: MakeRunner) -> None:
    with pytest.raises(UserInputError, match="ClassDistributionHook"):
        make_runner(custom_hooks=[{"type": "PreflightHook"}]).train()
