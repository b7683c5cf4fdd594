"""Buffers with an entry for each image get their size before the training."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmpretrain.registry import DATASETS

from lt_plugins.engine.sample_index import check_sample_index
from lt_plugins.errors import UserInputError
from tests.small_runs import MakeRunner

LFF: dict[str, Any] = {"model.type": "LFFClassifier", "custom_hooks": [{"type": "ImageBuffersHook"}]}


def test_running_losses_of_every_image(make_runner: MakeRunner) -> None:
    runner = make_runner(**LFF, **{"train_cfg.max_epochs": 1})
    difficulty = runner.model.difficulty
    assert not len(difficulty.labels)
    runner.train()
    dataset = runner.train_dataloader.dataset
    assert difficulty.labels.tolist() == [dataset.get_data_info(i)["gt_label"] for i in range(len(dataset))]
    assert bool((difficulty.biased > 0).all())
    assert not torch.equal(difficulty.biased, difficulty.debiased)


def test_a_run_without_the_hook_stops_before_its_first_step(make_runner: MakeRunner) -> None:
    with pytest.raises(UserInputError, match=r"RelativeDifficulty needs ImageBuffersHook: add dict\(type="):
        make_runner(**{"model.type": "LFFClassifier"}).train()


def test_nothing_to_do(make_runner: MakeRunner) -> None:
    make_runner(custom_hooks=[{"type": "ImageBuffersHook"}], **{"train_cfg.max_epochs": 1}).train()


def test_samples_that_do_not_say_which_image_they_are() -> None:
    pipeline = [{"type": "LoadImage"}, {"type": "PackInputs", "meta_keys": []}]
    dataset = DATASETS.build({"type": "DigitsDataset", "pipeline": pipeline})
    with pytest.raises(UserInputError, match=r"sample_idx=None, expected \d+, so what is learned of an image would go"):
        check_sample_index(dataset)
