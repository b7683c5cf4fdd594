"""Remix gives each pair the label weight of Eq. 10, computed here for one pair after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.batch_augments import Remix, remix_shares
from lt_plugins.models.losses import BalancedSoftmaxLoss, WeightedCrossEntropyLoss

COUNTS = [500, 150, 50, 16, 5]
LABELS = torch.tensor([0, 0, 4, 1, 2, 3, 0, 4, 1, 0])


def weight_of_pair(share: float, count: int, partner_count: int, kappa: float, tau: float) -> float:
    """Eq. 10 as it is written."""
    if count / partner_count >= kappa and share < tau:
        return 0.0
    if count / partner_count <= 1 / kappa and 1 - share < tau:
        return 1.0
    return share


def build(**kwargs: Any) -> Remix:
    remix = Remix(**kwargs)
    remix.class_distribution.set_counts(COUNTS)
    return remix


def batch() -> tuple[Tensor, Tensor]:
    images = torch.randn(10, 3, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return images, F.one_hot(LABELS, 5)


def drawn(remix: Remix, seed: int) -> tuple[float, list[int]]:
    """Share and permutation that Remix draws in the first step of this seed."""
    generator = np.random.default_rng(np.random.SeedSequence([seed, 0], spawn_key=(1,)))
    torch.manual_seed(seed)
    return float(generator.beta(remix.alpha, remix.alpha)), torch.randperm(10).tolist()


def mixed(remix: Any, seed: int) -> tuple[Tensor, Tensor]:
    remix.set_seed(seed)
    torch.manual_seed(seed)
    return remix(*batch())


@pytest.mark.parametrize("kappa", [1.0, 3.0, 10.0])
@pytest.mark.parametrize("tau", [0.0, 0.3, 0.5, 1.0])
def test_weight_of_each_pair(kappa: float, tau: float) -> None:
    for share in (0.0, 0.1, 0.29, 0.31, 0.5, 0.69, 0.71, 0.9, 1.0):
        pairs = [(n, m) for n in (*COUNTS, 15) for m in (*COUNTS, 15)]
        first, second = torch.tensor(pairs, dtype=torch.float64).unbind(dim=1)
        expected = [weight_of_pair(share, n, m, kappa, tau) for n, m in pairs]
        assert remix_shares(share, first, second, kappa, tau).tolist() == expected


@pytest.mark.parametrize("seed", range(6))
def test_images_and_labels_of_a_batch(seed: int) -> None:
    remix = build()
    share, partners = drawn(remix, seed)
    images, _ = batch()
    found_images, found_shares = mixed(remix, seed)
    assert found_shares.dtype == torch.float64
    kinds = set()
    for i, j in enumerate(partners):
        torch.testing.assert_close(found_images[i], share * images[i] + (1 - share) * images[j], rtol=0, atol=1e-14)
        weight = weight_of_pair(share, COUNTS[LABELS[i]], COUNTS[LABELS[j]], 3.0, 0.5)
        kinds.add("kept" if weight == share else weight)
        expected = torch.zeros(5, dtype=torch.float64)
        expected[LABELS[i]] += weight
        expected[LABELS[j]] += 1 - weight
        torch.testing.assert_close(found_shares[i], expected, rtol=0, atol=1e-14)
    assert kinds == {"kept", 0.0 if share < 0.5 else 1.0}


@pytest.mark.parametrize("settings", [{"kappa": float("inf")}, {"tau": 0.0}, {"kappa": 101.0}])
def test_without_relabelling_it_is_mixup(settings: dict[str, float]) -> None:
    remix = build(**settings)
    share, partners = drawn(remix, 4)
    images, scores = batch()
    found_images, found_shares = mixed(remix, 4)
    torch.testing.assert_close(found_images, share * images + (1 - share) * images[partners])
    torch.testing.assert_close(found_shares, share * scores + (1 - share) * scores[partners].double())


def test_equal_classes_are_mixed_as_in_mixup() -> None:
    remix, plain = build(), build(tau=0.0)
    remix.class_distribution.set_counts([20] * 5)
    for one, other in zip(mixed(remix, 1), mixed(plain, 1), strict=True):
        assert torch.equal(one, other)


def test_an_empty_class_counts_as_the_rarest() -> None:
    remix = build()
    remix.class_distribution.set_counts([500, 150, 50, 16, 0])
    assert all(torch.isfinite(value).all() for value in mixed(remix, 0))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_are_drawn_from_the_beta_distribution(alpha: float) -> None:
    remix = build(alpha=alpha, tau=0.0)
    torch.manual_seed(0)
    values = torch.stack([remix(torch.zeros(2, 3, 1, 1), torch.eye(5)[:2])[1][0, 0] for _ in range(3000)])
    values = values[values != 1]  # permutations that move the two images
    assert float(values.mean()) == pytest.approx(0.5, abs=0.04)
    assert float(values.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.15)


@pytest.mark.parametrize("loss_type", [WeightedCrossEntropyLoss, BalancedSoftmaxLoss])
@pytest.mark.parametrize("class_weight", [None, "effective_number"])
def test_loss_weighs_each_sample_by_itself(loss_type: type, class_weight: str | None) -> None:
    """Unlike means of a batch that are combined afterwards; the weights of DRW multiply the terms of each label."""
    remix, loss = build(), loss_type(class_weight=class_weight)
    loss.class_distribution.set_counts(COUNTS)
    share, partners = drawn(remix, 5)
    _, shares = mixed(remix, 5)
    logits = torch.randn(10, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    total = mass = 0.0
    class_weights = [1.0] * 5 if class_weight is None else loss.current_weight().tolist()
    for i, j in enumerate(partners):
        weight = weight_of_pair(share, COUNTS[LABELS[i]], COUNTS[LABELS[j]], 3.0, 0.5)
        for label, part in ((int(LABELS[i]), weight), (int(LABELS[j]), 1 - weight)):
            of_label = float(loss.per_sample(logits[i : i + 1], torch.tensor([label])))
            total += part * class_weights[label] * of_label
            mass += part * class_weights[label]
    assert float(loss(logits, shares)) == pytest.approx(total / mass, rel=1e-12)


def test_what_is_out_of_range() -> None:
    for arguments, message in (
        ({"alpha": 0.0}, "alpha=0.0 of Remix must be positive"),
        ({"alpha": float("inf")}, "alpha=inf of Remix must be positive"),
        ({"kappa": 0.5}, "kappa=0.5 of Remix must be 1 or more"),
        ({"kappa": float("nan")}, "kappa=nan of Remix must be 1 or more"),
        ({"tau": 1.5}, r"tau=1.5 of Remix must be in \[0, 1\]"),
    ):
        with pytest.raises(UserInputError, match=message):
            Remix(**arguments)
    with pytest.raises(UserInputError, match="class counts are not known"):
        mixed(Remix(), 0)
    remix = build()
    remix.class_distribution.set_counts([3, 1])
    with pytest.raises(UserInputError, match="Remix has class counts of 2 classes, but labels of 5"):
        mixed(remix, 0)
