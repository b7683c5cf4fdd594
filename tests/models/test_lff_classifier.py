"""Learning from failure against its formulas, and what it predicts with."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from torch import Tensor

from lt_plugins.errors import UserInputError
from tests.battery import noise, samples

LABELS = torch.tensor([0, 1, 2, 0, 3, 1])
BACKBONE = {"type": "CIFARResNet", "depth": 20}
HEAD = {"type": "LinearHead", "num_classes": 4, "in_channels": 64}


def build(**arguments: Any) -> Any:
    torch.manual_seed(0)
    model = MODELS.build({"type": "LFFClassifier", "backbone": BACKBONE, "head": HEAD, **arguments})
    model.init_weights()
    if model.difficulty is not None:
        model.difficulty.set_num_images(len(LABELS))
    return model.double().train()


def forward(model: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of the biased and the debiased network."""
    biased = model.biased
    return (
        biased["head"](biased["neck"](biased["backbone"](images))),
        model.head(model.neck(model.backbone(images))),
    )


@pytest.mark.parametrize("momentum", [0.7, None])
def test_losses_and_gradients(momentum: float | None) -> None:
    """In the second of two steps; the biased loss in its released form, cross-entropy times a constant q p^q."""
    model, q = build(momentum=momentum, q=0.6), 0.6
    batches = [noise(len(LABELS), 3, 32, 32, seed=seed).double() for seed in (0, 1)]
    expected: list[Tensor] = []
    means: list[list[float]] = [[], []]
    for images in batches:
        biased, debiased = forward(model, images)
        terms = [F.cross_entropy(logits, LABELS, reduction="none") for logits in (biased, debiased)]
        shares = []
        for mean, term in zip(means, terms, strict=True):
            values = term.tolist()
            mean[:] = [0.7 * old + 0.3 * new for old, new in zip(mean or values, values, strict=True)]
            highest = [max(value for value, label in zip(mean, LABELS, strict=True) if label == y) for y in LABELS]
            own = [value / top for value, top in zip(mean, highest, strict=True)]
            shares.append(torch.tensor(own if momentum else values).double())
        weights = shares[0] / (shares[0] + shares[1] + 1e-8)
        trust = q * biased.softmax(1).gather(1, LABELS[:, None])[:, 0].detach() ** q
        loss = (trust * terms[0]).mean() + (weights * terms[1]).mean()
        expected = [(weights * terms[1]).mean(), *torch.autograd.grad(loss, list(model.parameters()))]
    model = build(momentum=momentum, q=0.6)
    for images in batches:
        model.zero_grad()
        losses = model.loss(images, samples(LABELS))
        (losses["loss"] + losses["loss_biased"]).backward()
    torch.testing.assert_close(losses["loss"], expected[0])
    for (name, parameter), gradient in zip(model.named_parameters(), expected[1:], strict=True):
        torch.testing.assert_close(parameter.grad, gradient, msg=name)


def test_networks_are_alike_and_begin_apart() -> None:
    model = build()
    shapes = [
        {name: value.shape for name, value in part.named_parameters()}
        for part in (model.backbone, model.biased["backbone"])
    ]
    assert shapes[0] == shapes[1]
    assert not torch.equal(model.backbone.conv1.weight, model.biased["backbone"].conv1.weight)


def test_predicts_with_the_debiased_network() -> None:
    model = build().eval()
    images = noise(3, 3, 32, 32).double()
    expected = model.head(model.neck(model.backbone(images))).softmax(1)
    for parameter in model.biased.parameters():
        parameter.data.zero_()
    assert torch.equal(model.predict(images).pred_score, expected)


def test_an_easy_image_of_the_biased_network_weighs_little() -> None:
    model = build(momentum=None)
    images = noise(len(LABELS), 3, 32, 32).double()
    before = float(model.loss(images, samples(LABELS))["mean_weight"])
    with torch.no_grad():
        model.biased["head"].fc.weight.mul_(0)
        model.biased["head"].fc.bias.copy_(torch.tensor([50.0, 0, 0, 0]))
    easy = model.loss(images[[0, 3]], samples(LABELS[[0, 3]]))
    assert float(easy["mean_weight"]) < 1e-6 < before


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"q": 0.0}, r"q=0\.0 must be above 0 and at most 1"),
        ({"momentum": -0.1}, r"momentum=-0\.1 must be 0 or more"),
        (
            {"data_preprocessor": {"batch_augments": {"augments": {"type": "Mixup", "alpha": 1.0}}}},
            r"remove Mixup and CutMix",
        ),
        ({"head": {**HEAD, "type": "TDEHead"}}, r"TDEHead computes its own; use a head whose loss takes logits"),
    ],
)
def test_errors(arguments: dict[str, Any], line: str) -> None:
    with pytest.raises(UserInputError, match=line):
        build(**arguments)
