"""Gaussian clouded logits against their formula in plain Python, with the noise that the loss draws."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import GCLLoss
from lt_plugins.models.losses.ldam_loss import ldam_loss

COUNTS = [500, 81, 16, 1]
STAGE_2: dict[str, Any] = dict(noise_mul=0.5, margin=0.1, scale=20.0, gamma=1.0)


def make_loss(counts: list[int] = COUNTS, **kwargs: Any) -> GCLLoss:
    loss = GCLLoss(**kwargs)
    loss.class_distribution.set_counts(counts)
    return loss


def cosines_of(size: int = 7, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    cosines = torch.rand(size, 4, generator=generator, dtype=torch.float64) * 2 - 1
    return cosines, torch.randint(4, (size,), generator=generator)


def drawn(size: int, seed: int) -> list[list[float]]:
    """The noise that the loss draws after this seed: 1 / 3 of a normal number for each image and class, cut off."""
    torch.manual_seed(seed)
    normal = torch.randn(size, 4, dtype=torch.float64)
    return [[min(max(value / 3, -1.0), 1.0) for value in row] for row in normal.tolist()]


def slow_gcl(
    cosines: Tensor,
    labels: Tensor,
    noise: list[list[float]],
    noise_mul: float = 0.5,
    margin: float = 0.0,
    scale: float = 30.0,
    gamma: float = 0.0,
) -> list[float]:
    """METHODS 3.8, image by image and class by class."""
    widest = max(math.log(max(COUNTS)) - math.log(n) for n in COUNTS)
    losses = []
    for row, label, epsilon in zip(cosines.tolist(), labels.tolist(), noise, strict=True):
        clouded = []
        for c, (cosine, n) in enumerate(zip(row, COUNTS, strict=True)):
            delta = (math.log(max(COUNTS)) - math.log(n)) / widest
            clouded.append(scale * (cosine - noise_mul * abs(epsilon[c]) * delta - margin * (c == label)))
        probability = math.exp(clouded[label]) / math.fsum(map(math.exp, clouded))
        losses.append(-((1 - probability) ** gamma) * math.log(probability))
    return losses


@pytest.mark.parametrize(
    "settings",
    [{}, STAGE_2, dict(noise_mul=2.0, margin=0.3, scale=4.0, gamma=2.5), dict(scale=8.0, gamma=0.5)],
    ids=str,
)
def test_equals_the_formula(settings: dict[str, Any]) -> None:
    loss, (cosines, labels) = make_loss(**settings), cosines_of()
    expected = slow_gcl(cosines, labels, drawn(7, seed=3), **settings)
    torch.manual_seed(3)
    value = loss(settings.get("scale", 30.0) * cosines, labels)
    assert float(value) == pytest.approx(sum(expected) / 7, rel=1e-9)


def test_no_noise_in_evaluation() -> None:
    loss, (cosines, labels) = make_loss(**STAGE_2).eval(), cosines_of()
    expected = slow_gcl(cosines, labels, [[0.0] * 4] * 7, **STAGE_2)
    state = torch.get_rng_state()
    assert float(loss(20 * cosines, labels)) == pytest.approx(sum(expected) / 7, rel=1e-9)
    assert torch.equal(torch.get_rng_state(), state), "nothing was drawn"


def test_noise_lowers_all_classes_but_the_most_frequent() -> None:
    """Also of classes that are not the image's: their logits are seen in the loss of class 0."""
    cosines, labels = torch.zeros(20_000, 4, dtype=torch.float64), torch.zeros(20_000, dtype=torch.int64)
    torch.manual_seed(0)
    noisy = float(make_loss(scale=2.0)(cosines, labels))
    torch.manual_seed(0)
    epsilon = (torch.randn(20_000, 4, dtype=torch.float64) / 3).clamp(-1, 1).abs()
    assert float(epsilon.max()) == 1, "some are cut off"
    assert noisy < math.log(4) == pytest.approx(float(F.cross_entropy(2 * cosines, labels)))
    shares = make_loss().noise_sizes()
    assert shares.tolist() == pytest.approx([math.log(500 / n) / math.log(500) for n in COUNTS])
    assert float(shares[0]) == 0 and float(shares[3]) == 1


@pytest.mark.parametrize("training", [True, False])
def test_equal_counts_leave_no_noise(training: bool) -> None:
    cosines, labels = cosines_of()
    value = make_loss([9] * 4).train(training)(30 * cosines, labels)
    assert float(value) == pytest.approx(float(F.cross_entropy(30 * cosines, labels)), rel=1e-12)


def test_without_noise_margin_and_modulator_it_is_cross_entropy() -> None:
    cosines, labels = cosines_of()
    torch.testing.assert_close(
        make_loss(noise_mul=0.0)(30 * cosines, labels), F.cross_entropy(30 * cosines, labels), rtol=1e-14, atol=0
    )


def test_without_noise_its_margin_is_that_of_ldam_for_all_classes() -> None:
    cosines, labels = cosines_of()
    expected = ldam_loss(30 * cosines, labels, torch.full((4,), 0.2, dtype=torch.float64), 30.0).mean()
    torch.testing.assert_close(make_loss(noise_mul=0.0, margin=0.2)(30 * cosines, labels), expected)


def test_the_modulator_carries_no_gradient() -> None:
    cosines, labels = cosines_of(1)
    logits = (3 * cosines).requires_grad_()
    make_loss(noise_mul=0.0, scale=3.0, gamma=2.0)(logits, labels).backward()
    probabilities = logits.detach().softmax(1)
    plain = probabilities - F.one_hot(labels, 4)
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, (1 - probabilities[0, labels[0]]) ** 2 * plain)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_an_image_without_doubt_has_no_loss_and_a_finite_gradient(gamma: float) -> None:
    logits = torch.tensor([[1000.0, 0.0, 0.0, 0.0]], requires_grad=True)
    value = make_loss(gamma=gamma)(logits, torch.tensor([0]))
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


def test_mixed_images_get_noise_for_each_of_their_classes() -> None:
    cosines, labels = cosines_of()
    partners, share = labels.roll(1), 0.3
    torch.manual_seed(5)
    noise = [torch.randn(7, 4, dtype=torch.float64).div(3).clamp(-1, 1) for _ in range(2)]
    # The larger share comes first; a pair of one class is whole, and comes a second time with a share of 0.
    first, second = partners, torch.where(labels == partners, partners, labels)
    parts = [slow_gcl(cosines, each, of.tolist()) for each, of in zip((first, second), noise, strict=True)]
    expected = sum(
        a if same else 0.7 * a + 0.3 * b for a, b, same in zip(*parts, (labels == partners).tolist(), strict=True)
    )
    torch.manual_seed(5)
    shares = share * F.one_hot(labels, 4).double() + (1 - share) * F.one_hot(partners, 4).double()
    assert float(make_loss()(30 * cosines, shares)) == pytest.approx(expected / 7, rel=1e-9)


def test_an_empty_class_has_the_noise_of_the_rarest() -> None:
    sizes = make_loss([500, 81, 16, 0]).noise_sizes()
    assert torch.equal(sizes[:3], make_loss([500, 81, 16]).noise_sizes())
    assert float(sizes[3]) == 1


def test_another_scale_in_the_loss_is_refused() -> None:
    head = dict(type="CosineClsHead", num_classes=4, in_channels=6, scale=30.0)
    with pytest.raises(UserInputError, match=r"GCLLoss is told scale=20.0, but the head multiplies .* 30.0"):
        MODELS.build(dict(head, loss=dict(type="GCLLoss", scale=20.0)))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (dict(noise_mul=-1.0), "noise_mul=-1.0, margin=0.0 and gamma=0.0 must be 0 or more"),
        (dict(margin=-0.1), "margin=-0.1"),
        (dict(gamma=float("nan")), "gamma=nan"),
        (dict(scale=0.0), "scale=0.0 of the cosines must be positive"),
    ],
)
def test_settings_without_meaning_are_refused(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        GCLLoss(**bad)
