"""The summary before training and what stops it."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.checks.preflight import check_classes, preflight_summary
from lt_plugins.datasets.class_names import checkpoint_classes
from lt_plugins.errors import UserInputError
from lt_plugins.models.build import build_model
from lt_plugins.models.structures import ClassDistribution
from lt_plugins.runs.config import load_config
from tests.miniatures import write_image
from tests.small_runs import MakeRunner
from tests.tool_process import ROOT


def test_summary_says_what_is_about_to_happen() -> None:
    model = nn.Module()
    model.backbone, model.head = nn.Sequential(nn.Linear(2000, 10), nn.BatchNorm1d(10)), nn.Module()
    model.backbone[0].weight.requires_grad_(False)
    model.head.loss_module = nn.CrossEntropyLoss()
    model.class_distribution = ClassDistribution(3)
    model.class_distribution.set_counts([400, 50, 4])
    model.register_buffer("queue", torch.zeros(1024, 256))
    text = preflight_summary(
        model,
        "Wrapper(Data)",
        ["SomeHook"],
        device="cpu",
        world_size=4,
        batch_parts=(32, 1),
        num_batches=7,
        max_epochs=9,
    )
    lines = dict(line.split("  ", 1) for line in text.splitlines())
    rows = {name: value.strip() for name, value in lines.items()}
    assert rows["data"] == "Wrapper(Data): 454 images, 3 classes, imbalance factor 100"
    assert rows["shots"] == "1 many (> 100 images), 1 medium, 1 few (< 20)"
    assert rows["method"] == "Module(Sequential, Module with CrossEntropyLoss), SomeHook"
    assert rows["device"] == "4 processes on cpu"
    assert rows["schedule"] == "9 epochs of 7 steps, batch 32 x 4 = 128"
    assert rows["model"] == "0.02 M parameters, 30 of them trained"
    assert rows["buffers"].startswith("1.0 MB: queue (1024, 256) 1.0 MB, class_distribution.counts (3,) 0.0 KB")


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
    # No hook of every run is called one of the method.
    assert "ImageClassifier(CIFARResNet, GlobalAveragePooling, LinearHead with CrossEntropyLoss)\n" in summaries[0]
    assert "LongTailDataset(DigitsDataset)" in summaries[0]


def test_stops_where_training_cannot_work(make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserInputError, match=r"train_dataloader has \d+ images but yields no batch of 64"):
        make_runner(param_scheduler=None, **{"train_dataloader.drop_last": True}).train()

    def broken(*_: object) -> None:
        raise FileNotFoundError("no such image: a.jpg")

    runner = make_runner()
    monkeypatch.setattr(type(runner.val_dataloader.dataset), "__getitem__", broken)
    with pytest.raises(
        UserInputError, match=r"image 0 of the (train|val) dataset cannot be read \(no such image: a.jpg"
    ):
        runner.train()


def test_needs_the_class_counts(make_runner: MakeRunner) -> None:
    with pytest.raises(UserInputError, match="ClassDistributionHook"):
        make_runner(default_hooks={"_delete_": True, "preflight": {"type": "PreflightHook"}}).train()


# ------------------------------------------------------------------------------------------- data, model, checkpoint

NAMES = [str(digit) for digit in range(10)]
SWAPPED = ["1", "0", *NAMES[2:]]


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    """Of a model for digits, with the class names of its data as mmengine writes them."""
    cfg = load_config(str(ROOT / "configs/ce/ce_r32_digits.py"))
    cfg.model.backbone.depth = 20
    meta = {"epoch": 1, "iter": 6, "dataset_meta": {"classes": tuple(NAMES)}}
    state_dict = {**build_model(cfg).state_dict(), "class_distribution.counts": torch.arange(10, 0, -1)}
    torch.save({"state_dict": state_dict, "meta": meta}, tmp_path / "epoch_1.pth")
    return str(tmp_path / "epoch_1.pth")


def test_splits_whose_classes_have_other_names(make_runner: MakeRunner) -> None:
    message = "label 0 is '0' in the train dataset and '1' in the val dataset; give all datasets the same classes"
    with pytest.raises(UserInputError, match=message):
        make_runner(**{"val_dataloader.dataset.classes": SWAPPED}).train()
    allowed = {"default_hooks.preflight.allow_renamed_classes": True, "train_cfg.max_epochs": 1}
    make_runner(**{"val_dataloader.dataset.classes": SWAPPED, **allowed}).train()


def test_a_checkpoint_of_other_classes_is_not_tested(make_runner: MakeRunner, checkpoint: str) -> None:
    with pytest.raises(UserInputError, match="label 0 is '0' in the checkpoint and '1' in the test dataset"):
        make_runner(load_from=checkpoint, **{"test_dataloader.dataset.classes": SWAPPED}).test()
    make_runner(load_from=checkpoint).test()
    with pytest.raises(UserInputError, match="label 0 is '0' in the checkpoint and '1' in the val dataset"):
        make_runner(load_from=checkpoint, **{"val_dataloader.dataset.classes": SWAPPED}).val()


def test_class_names_travel_and_a_resumed_run_keeps_them(make_runner: MakeRunner) -> None:
    first = make_runner(**{"train_cfg.max_epochs": 1})
    first.train()
    path = f"{first.work_dir}/epoch_1.pth"
    assert checkpoint_classes(load_checkpoint(path)) == tuple(NAMES)
    renamed = {
        "load_from": path,
        "train_dataloader.dataset.dataset.classes": SWAPPED,
        "val_dataloader.dataset.classes": SWAPPED,
    }
    with pytest.raises(UserInputError, match="label 0 is '0' in the checkpoint and '1' in the train dataset"):
        make_runner(resume=True, **renamed).train()
    elsewhere = {"work_dir": f"{first.work_dir}_2", "train_cfg.max_epochs": 1}
    make_runner(**renamed, **elsewhere).train()  # a new run from its weights learns them


def test_a_classifier_that_goes_on_keeps_its_classes(make_runner: MakeRunner, checkpoint: str) -> None:
    """A second stage that takes over the head, as in MiSLAS."""
    renamed = {"train_dataloader.dataset.dataset.classes": SWAPPED, "val_dataloader.dataset.classes": SWAPPED}
    stage_2 = {"model.type": "FrozenBackboneClassifier", "model.reuse_head": True, "load_from": checkpoint, **renamed}
    with pytest.raises(UserInputError, match="label 0 is '0' in the checkpoint and '1' in the train dataset"):
        make_runner(**stage_2).train()
    make_runner(**{**stage_2, "model.reuse_head": False, "train_cfg.max_epochs": 1}).train()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"test_dataloader.dataset.indices": 0, "test_dataloader.dataset.serialize_data": False},
            "test_dataloader has 0 images but yields no batch",
        ),
        ({"test_dataloader.dataset.classes": NAMES[:9]}, "the test dataset has 9 classes, but model.head.num_classes"),
        (
            {"model.head.num_classes": 9, "test_dataloader.dataset.metainfo": {"classes": None}},
            "labels run from 0 to 9, expected 0 to 8",
        ),
    ],
)
def test_testing_checks_its_data_as_training_does(
    overrides: dict[str, Any], message: str, make_runner: MakeRunner
) -> None:
    with pytest.raises(UserInputError, match=message):
        make_runner(**overrides).test()


def test_testing_reads_an_image_first(make_runner: MakeRunner, tmp_path: Path) -> None:
    for number in range(2):
        write_image(tmp_path / "data" / f"{number}" / "a.png", seed=number, size=(32, 32))
    (tmp_path / "data/0/a.png").write_bytes(b"no image")
    data = {"type": "ImageListDataset", "data_root": str(tmp_path / "data"), "classes": NAMES, "_delete_": True}
    loader = {"dataset": {**data, "pipeline": [{"type": "LoadImage"}, {"type": "PackInputs"}]}}
    with pytest.raises(UserInputError, match=r"cannot read image .*0/a.png"):
        make_runner(test_dataloader=loader).test()


def test_photographs_stop_before_the_first_step(make_runner: MakeRunner, tmp_path: Path) -> None:
    for number in range(10):
        write_image(tmp_path / "data" / f"{number}" / "a.png", seed=number, size=(120, 90))
    data = {"type": "ImageListDataset", "data_root": str(tmp_path / "data"), "_delete_": True}
    crop = {"type": "RandomCrop", "crop_size": 32, "padding": 4}
    loader = {"dataset": {**data, "pipeline": [{"type": "LoadImage"}, crop, {"type": "PackInputs"}]}}
    options = {"train_dataloader": loader, "val_cfg": None, "val_dataloader": None, "val_evaluator": None}
    with pytest.raises(UserInputError, match="RandomCrop shows 32 x 32 pixels of images of 120 x 90 in the train"):
        make_runner(**copy.deepcopy(options)).train()
    make_runner(**options, **{"default_hooks.preflight.allow_small_crops": True, "train_cfg.max_epochs": 1}).train()


def test_a_pipeline_that_fails_is_named(make_runner: MakeRunner) -> None:
    with pytest.raises(UserInputError, match=r"image 0 of the train dataset does not pass the transforms of train_da"):
        make_runner(resident=False, **{"train_dataloader.dataset.dataset.pipeline.0.type": "PackInputs"}).train()
