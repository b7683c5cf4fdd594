"""LFME against its formula, its reductions, and what it refuses."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import LabelBatch
from lt_plugins.registry import MODELS
from tests.battery import noise
from tests.models.losses.test_kd_loss import slow_distillation

# Its loss keeps weights of images in float64; that of mmpretrain rounds them.
HEAD = {"type": "LinearHead", "num_classes": 5, "in_channels": 64, "loss": {"type": "WeightedCrossEntropyLoss"}}
OWN = [[0, 3], [1, 2, 4]]
LABELS = LabelBatch(torch.tensor([0, 3, 1, 4]), sample_idx=torch.tensor([5, 0, 2, 3]))
START = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])


def network(seed: int, kind: str = "ImageClassifier", **changes: Any) -> Any:
    """A small classifier in float64."""
    torch.manual_seed(seed)
    plain = {"neck": {"type": "GlobalAveragePooling"}} if kind == "ImageClassifier" else {}
    cfg = {"backbone": {"type": "CIFARResNet", "depth": 20}, "head": HEAD, **plain}
    model = MODELS.build({"type": kind, **copy.deepcopy({**cfg, **changes})})
    model.init_weights()
    return model.double()


def expert(seed: int, classes: list[int]) -> Any:
    """One that was trained on some classes."""
    model = network(seed, head={**HEAD, "type": "ClassSubsetHead"})
    model.head.class_distribution.set_counts([int(label in classes) for label in range(5)])
    return model


def student(curriculum: dict[str, Any] | None = None, **changes: Any) -> Any:
    """A student of two experts, in the fourth of ten epochs."""
    model = network(0, "LFMEClassifier", teachers=[{"stage": 1}, {"stage": 2}], curriculum=curriculum, **changes)
    model.set_teachers([expert(seed, classes) for seed, classes in enumerate(OWN, start=1)])
    model.distill.weights.copy_(torch.tensor([1.0, 0.25]))
    if model.curriculum is not None:
        model.curriculum.set_start(START.double())
        model.curriculum.set_epoch(3, 10)
    return model.train()


@pytest.fixture
def images() -> Tensor:
    return noise(4, 3, 32, 32).double()


@pytest.mark.parametrize("scales", [None, "loss", "logits"])
def test_losses(scales: str | None, images: Tensor) -> None:
    model, plain = (
        student(None if scales is None else {"type": "InstanceCurriculum", "scales": scales}),
        network(0).train(),
    )
    losses = model.loss(images, LABELS)
    labels = LABELS.one_label_each
    weights = torch.ones(4).double()
    if scales is not None:
        start = START[LABELS.sample_idx].double()
        weights = start + 0.4 * (1 - start)
        assert losses["mean_weight"].item() == pytest.approx(weights.mean().item())
    logits = plain.head(plain.extract_feat(images))
    if scales == "logits":
        logits = weights[:, None] * logits
        expected = F.cross_entropy(logits, labels)
    else:
        expected = (weights * F.cross_entropy(logits, labels, reduction="none")).sum() / 4
    assert losses["loss"].item() == pytest.approx(expected.item(), rel=1e-10)
    distilled = 0.0
    for weight, teacher, classes in zip((1.0, 0.25), model.teachers, OWN, strict=True):
        answers = teacher.head.fc(teacher.extract_feat(images)[-1])  # without what the head adds to absent classes
        distilled += weight * slow_distillation(logits[:, classes], answers[:, classes], 2.0)
    assert losses["loss_distill"].item() == pytest.approx(distilled, rel=1e-10)
    (losses["loss"] + losses["loss_distill"]).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_full_weights_are_no_curriculum(images: Tensor) -> None:
    plain = student().loss(images, LABELS)
    for scales in ("loss", "logits"):
        model = student({"type": "InstanceCurriculum", "scales": scales})
        model.curriculum.set_start(torch.ones(6).double())
        losses = model.loss(images, LABELS)
        for name, value in plain.items():
            assert losses[name].item() == pytest.approx(value.item(), rel=1e-14), name


def test_experts_of_weight_zero_leave_cross_entropy(images: Tensor) -> None:
    model, plain = student(), network(0).train()
    model.distill.weights.zero_()
    model.loss(images, LABELS)["loss"].backward()
    sum(student().loss(images, LABELS).values())  # a second student has no part in the first
    plain.loss(images, LABELS)["loss"].backward()
    for (name, own), other in zip(model.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, msg=name)


def test_an_expert_with_another_head_teaches_all_classes(images: Tensor) -> None:
    """One alone is plain distillation, without the square of the temperature."""
    kd = {"type": "KDLoss", "square_temperature": False}
    others = [
        network(0, "DistillClassifier", teachers=[{"stage": 1}], distill=kd),
        network(0, "LFMEClassifier", teachers=[]),
    ]
    found = []
    for model in others:
        model.set_teachers([network(1)])
        found.append(model.train().loss(images, LABELS))
    assert found[0].keys() == found[1].keys()
    for name in found[0]:
        assert found[0][name].item() == pytest.approx(found[1][name].item(), rel=1e-14)


def test_the_classes_of_the_experts_are_no_state() -> None:
    model = student({"type": "InstanceCurriculum"})
    assert [classes.tolist() for classes in model.distill.classes] == OWN
    extra = {*model.state_dict()} - {*network(0).state_dict()}
    assert extra == {"distill.weights", "distill.expert_accuracy", "curriculum.start"}
    tested = network(0, "LFMEClassifier", teachers=[], curriculum={"type": "InstanceCurriculum"})
    tested.load_state_dict(model.state_dict())
    assert tested.eval().predict(noise(2, 3, 32, 32).double()).pred_score.shape == (2, 5)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"distill": {"type": "KDLoss"}}, r"distill=KDLoss of LFMEClassifier must be a LFMELoss"),
        ({"curriculum": {"type": "KDLoss"}}, r"curriculum=KDLoss of LFMEClassifier must be a InstanceCurriculum"),
        (
            {
                "curriculum": {"type": "InstanceCurriculum"},
                "train_cfg": {"augments": [{"type": "Mixup", "alpha": 1.0}]},
            },
            r"weighs single images; remove Mixup",
        ),
        (
            {
                "curriculum": {"type": "InstanceCurriculum"},
                "head": {"type": "ISDAHead", "num_classes": 5, "in_channels": 64},
            },
            r"weighs the loss of each image, and ISDAHead computes its own",
        ),
    ],
)
def test_errors(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(UserInputError, match=line):
        network(0, "LFMEClassifier", teachers=[], **changes)
