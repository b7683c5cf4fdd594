"""The head of an expert is a linear head of its own classes, by the labels of all."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads import ClassSubsetHead, LinearHead
from lt_plugins.models.structures import LabelBatch
from tests.battery import noise

OWN = torch.tensor([1, 3, 4])
COUNTS = [0, 7, 0, 2, 5, 0]


def heads() -> tuple[Any, Any]:
    """One of six classes of which three have images, and a plain one of these three with the same weights."""
    head, plain = ClassSubsetHead(6, 8).double(), LinearHead(3, 8).double()
    for part in (head, plain):
        part.init_weights()
    with torch.no_grad():
        head.fc.bias.copy_(noise(6, seed=2))
        plain.fc.weight.copy_(head.fc.weight[OWN])
        plain.fc.bias.copy_(head.fc.bias[OWN])
    head.class_distribution.set_counts(COUNTS)
    return head, plain


@pytest.fixture
def features() -> Tensor:
    return 3 * noise(5, 8).double()


def test_loss_gradients_and_predictions_are_those_of_its_classes_alone(features: Tensor) -> None:
    head, plain = heads()
    labels = torch.tensor([1, 4, 3, 3, 1])
    loss = head.loss((features,), LabelBatch(labels))["loss"]
    own = torch.tensor([0, 2, 1, 1, 0])
    expected = plain.loss((features,), LabelBatch(own))["loss"]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-15)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(head.fc.weight.grad[OWN], plain.fc.weight.grad, rtol=1e-13, atol=0)
    torch.testing.assert_close(head.fc.bias.grad[OWN], plain.fc.bias.grad, rtol=1e-13, atol=1e-17)
    absent = torch.tensor([0, 2, 5])
    assert not head.fc.weight.grad[absent].any()
    assert not head.fc.bias.grad[absent].any()
    scores = head.predict((features,)).pred_score
    torch.testing.assert_close(scores[:, OWN], plain.predict((features,)).pred_score, rtol=1e-13, atol=0)
    assert not scores[:, absent].any()


def test_half_precision_stays_finite(features: Tensor) -> None:
    head = heads()[0].half()
    logits = head((features.half(),))
    assert logits.isfinite().all()
    assert not logits.softmax(1)[:, [0, 2, 5]].any()


def test_is_affine(features: Tensor) -> None:
    """As post-hoc methods take it."""
    head = heads()[0]
    weight, bias = head.affine()
    torch.testing.assert_close(features @ weight.T + bias, head((features,)))


def test_its_classes_come_with_the_checkpoint() -> None:
    head, other = heads()[0], ClassSubsetHead(6, 8).double()
    with pytest.raises(UserInputError, match="class counts are not known yet"):
        other.own_classes()
    other.load_state_dict(head.state_dict())
    assert torch.equal(other.own_classes(), OWN)
