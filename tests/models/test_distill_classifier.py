"""Classifiers that learn from frozen earlier networks."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.classifiers import classifier_outputs
from lt_plugins.models.structures import LabelBatch
from lt_plugins.registry import MODELS
from tests.battery import noise

HEAD = {"type": "LinearHead", "num_classes": 4, "in_channels": 64}
PIXELS = {"mean": [1.0, 2.0, 3.0], "std": [4.0, 5.0, 6.0]}
LABELS = LabelBatch(torch.tensor([0, 3, 1]), sample_idx=torch.arange(3))


def network(seed: int, kind: str = "ImageClassifier", **changes: Any) -> Any:
    """A small classifier."""
    torch.manual_seed(seed)
    plain = {} if kind == "DistillClassifier" else {"neck": {"type": "GlobalAveragePooling"}}
    cfg = {"backbone": {"type": "CIFARResNet", "depth": 20}, "head": HEAD, "data_preprocessor": PIXELS}
    model = MODELS.build({"type": kind, **plain, **copy.deepcopy(cfg | changes)})
    model.init_weights()
    return model


def student(**changes: Any) -> Any:
    """A classifier that learns from one teacher."""
    distill = {"type": "KDLoss", "temperature": 1.5, "loss_weight": 0.3}
    return network(0, "DistillClassifier", **{"teachers": [{"stage": 1}], "distill": distill, **changes})


@pytest.fixture
def images() -> Tensor:
    return noise(3, 3, 32, 32)


def test_adds_the_distillation_to_the_losses_of_the_head(images: Tensor) -> None:
    model, teacher, plain = student(), network(1), network(0)
    model.set_teachers([teacher])
    losses, expected = model.loss(images, LABELS), plain.loss(images, LABELS)
    assert losses.keys() == {"loss", "loss_distill"}
    assert torch.equal(losses["loss"], expected["loss"])
    logits, target = (x.double() / 1.5 for x in (plain.head(plain.extract_feat(images)), teacher.eval()(images)))
    ratio = torch.log_softmax(target, 1) - torch.log_softmax(logits, 1)
    wanted = 0.3 * 1.5**2 * (torch.softmax(target, 1) * ratio).sum(1).mean()
    assert losses["loss_distill"].item() == pytest.approx(wanted.item(), rel=1e-4)


@pytest.mark.parametrize("head", ["LinearHead", "CosineClsHead", "TDEHead", "ISDAHead"])
def test_any_head_is_asked_for_its_logits_once(head: str, images: Tensor) -> None:
    """And those of a head whose loss needs none are computed besides."""
    model = student(head={**HEAD, "type": head})
    model.set_teachers([network(1)])
    for part in model.modules():
        if hasattr(part, "set_counts"):
            part.set_counts([5, 4, 3, 2])
    calls: list[nn.Module] = []
    model.head.register_forward_hook(lambda module, *_: calls.append(module))
    losses = model.loss(images, LABELS)
    assert len(calls) == 1
    (losses["loss"] + losses["loss_distill"]).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_teachers_stay_as_they_are(images: Tensor) -> None:
    """No gradient, no running statistics, no trace in the state, the parameters or a copy of the model."""
    model, teacher = student(), network(1)
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    model.set_teachers([teacher])
    model.train()
    losses = model.loss(images, LABELS)
    (losses["loss"] + losses["loss_distill"]).backward()
    assert not any(module.training for module in teacher.modules())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    assert model.state_dict().keys() == network(0).state_dict().keys()
    assert len(list(model.parameters())) == len(list(network(0).parameters()))
    assert [len(other.teachers) for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)))] == [0, 0]


def test_a_teacher_passes_a_gradient_on_to_images(images: Tensor) -> None:
    """Which M2m moves by it."""
    model = student()
    model.set_teachers([network(1)])
    images.requires_grad_()
    classifier_outputs(model.teachers[0], images).logits.sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert not model.ask_teachers(images)[0].logits.requires_grad


def test_teachers_follow_to_another_type(images: Tensor) -> None:
    model = student()
    model.set_teachers([network(1)])
    assert model.double().ask_teachers(images.double())[0].features.dtype == torch.float64


def test_without_teachers_it_predicts_and_does_not_train(images: Tensor) -> None:
    model = student(teachers=[]).eval()
    assert model.predict(images, LABELS).pred_score.shape == (3, 4)
    with pytest.raises(UserInputError, match=r"DistillClassifier learns from teachers, and has none; .*stage=1"):
        model.loss(images, LABELS)


def test_refuses_other_classes_and_other_pixels() -> None:
    model = student()
    with pytest.raises(UserInputError, match=r"model.teachers.0 has 5 classes, and the model that learns from it 4"):
        model.set_teachers([network(1, head={**HEAD, "num_classes": 5})])
    with pytest.raises(
        UserInputError, match=r"model.teachers.1 takes images normalised by .*5.0, 7.0\].*the same data_preprocessor"
    ):
        model.set_teachers([network(1), network(2, data_preprocessor={**PIXELS, "std": [4.0, 5.0, 7.0]})])
    assert len(model.teachers) == 0
