"""The class names of a detector's datasets and checkpoint."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from mmengine.dataset import ConcatDataset

from lt_plugins.detection.detection_preflight_hook import DetectionPreflightHook
from lt_plugins.errors import UserInputError
from tests.datasets.arrays import ArrayDataset

CLASSES, SWAPPED = ["cat", "dog"], ["dog", "cat"]


def runner(classes: list[str], resume: bool = False) -> Any:
    """What the hook looks at when a detector is tested."""
    dataset = ConcatDataset([ArrayDataset([0, 1], classes=classes)])
    return SimpleNamespace(_resume=resume, _train_loop=None, test_dataloader=SimpleNamespace(dataset=dataset))


def test_a_checkpoint_of_other_classes_is_not_tested() -> None:
    hook = DetectionPreflightHook()
    hook.before_test(runner(SWAPPED))  # nothing is known of random weights
    hook.after_load_checkpoint(runner(CLASSES), {"meta": {"dataset_meta": {"classes": tuple(CLASSES)}}})
    hook.before_test(runner(CLASSES))
    with pytest.raises(
        UserInputError, match="label 0 is 'cat' in the checkpoint and 'dog' in the test dataset"
    ) as raised:
        hook.before_test(runner(SWAPPED))
    assert "PreflightHook" not in str(raised.value)
