"""The curriculum of LFME against slow loops: where its weights start and how they grow."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.instance_curriculum import InstanceCurriculum, class_floors, instance_weights
from tests.battery import noise

LABELS = torch.tensor([0, 2, 0, 1, 2, 2, 0, 3, 1])


def test_start_is_the_confidence_scaled_within_each_class() -> None:
    confidence, floors = noise(9).sigmoid().double(), torch.tensor([0.05, 0.25, 1.0, 0.5], dtype=torch.float64)
    expected = []
    for value, label in zip(confidence.tolist(), LABELS.tolist(), strict=True):
        own = [p for p, other in zip(confidence.tolist(), LABELS.tolist(), strict=True) if other == label]
        share = (value - min(own)) / (max(own) - min(own)) if max(own) > min(own) else 1.0
        expected.append(share * (1 - floors[label].item()) + floors[label].item())
    found = instance_weights(confidence, LABELS, floors)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-13, atol=0)
    assert found[7] == 1, "a single image"
    assert (found[LABELS == 2] == 1).all(), "the rarest group begins at full weight"


def test_a_class_without_images_changes_nothing() -> None:
    confidence = noise(9).sigmoid()
    found = [instance_weights(confidence, LABELS, torch.full((size,), 0.2)) for size in (4, 6)]
    assert torch.equal(*found)
    assert found[0].isfinite().all()


def test_floors_are_ratios_of_images_a_class() -> None:
    """ImageNet-LT's are 12 / 230, 12 / 53 and 1 in the released code."""
    counts = torch.tensor([200, 100, 50, 40, 10, 5, 8])
    members = torch.tensor([[1, 1, 0, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1, 0]]).bool()
    assert class_floors(counts, members).tolist() == pytest.approx([0.05, 0.05, 7.5 / 45, 7.5 / 45, 1, 1, 1])
    members[0, 5] = True  # (200 + 100 + 5) / 3 images a class; of two experts the rarer one counts
    assert class_floors(counts, members)[0].item() == pytest.approx(7.5 * 3 / 305)
    assert class_floors(counts, members)[5].item() == 1


@pytest.mark.parametrize(("full_at", "extrapolate"), [(1.0, False), (0.5, False), (0.5, True)])
def test_weights_grow_linearly(full_at: float, extrapolate: bool) -> None:
    curriculum = InstanceCurriculum(full_at=full_at, extrapolate=extrapolate).double()
    curriculum.set_start(torch.tensor([0.0, 0.25, 1.0]).double())
    for epoch in range(10):
        curriculum.set_epoch(epoch, 10)
        passed = (epoch + 1) / (10 * full_at)  # epochs count from 1
        passed = passed if extrapolate else min(passed, 1)
        expected = [1 + (1 - start) * (passed - 1) for start in (1.0, 0.0, 0.25)]
        assert curriculum(torch.tensor([2, 0, 1])).tolist() == pytest.approx(expected, rel=1e-12)
    assert expected == pytest.approx([1, 2, 1.75] if extrapolate else [1, 1, 1])


def test_size_of_the_training_set() -> None:
    curriculum = InstanceCurriculum()
    with pytest.raises(UserInputError, match=r"InstanceCurriculum got no number of training images"):
        curriculum(torch.tensor([0]))
    curriculum.set_num_images(3)
    with pytest.raises(UserInputError, match=r"InstanceCurriculum got samples without an index"):
        curriculum(None)
    curriculum.set_start(torch.tensor([0.5, 1.0, 0.0]))
    curriculum.set_num_images(3)
    assert curriculum.start.tolist() == [0.5, 1, 0], "what a checkpoint brought stays"
    other = InstanceCurriculum()
    other.load_state_dict(curriculum.state_dict())
    assert torch.equal(other.start, curriculum.start)
    other.set_num_images(2)
    assert other.start.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"scales": "images"}, r"scales='images' of InstanceCurriculum must be one of loss, logits"),
        ({"full_at": 0.0}, r"full_at=0.0 of InstanceCurriculum must be above 0 and at most 1"),
        ({"full_at": 1.5}, r"full_at=1.5 of InstanceCurriculum must be above 0 and at most 1"),
    ],
)
def test_errors(arguments: dict[str, Any], line: str) -> None:
    with pytest.raises(UserInputError, match=line):
        InstanceCurriculum(**arguments)
