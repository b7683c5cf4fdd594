"""The reconstruction loss against loops over images and places."""

import math

import pytest
import torch

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import ReconstructionLoss

B, P, D = 3, 5, 4


def maps(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(B, P, D, generator=generator, dtype=torch.float64) for _ in range(2)]


def slow_loss(reconstructed, features, temperature):
    """Which place does each reconstructed one belong to? Mean over places and images."""
    total = 0.0
    for image in range(B):
        for j in range(P):
            similarities = []
            for k in range(P):
                one, other = reconstructed[image, j], features[image, k]
                cosine = float(one @ other) / math.sqrt(float(one @ one) * float(other @ other))
                similarities.append(cosine / temperature)
            total += math.log(sum(map(math.exp, similarities))) - similarities[j]
    return total / (B * P)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_equals_the_formula(temperature):
    reconstructed, features = maps()
    forward, backward = slow_loss(reconstructed, features, temperature), slow_loss(features, reconstructed, temperature)
    assert float(ReconstructionLoss(temperature)(reconstructed, features)) == pytest.approx(forward, rel=1e-10)
    both = ReconstructionLoss(temperature, symmetric=True)(reconstructed, features)
    assert float(both) == pytest.approx((forward + backward) / 2, rel=1e-10)
    assert forward != pytest.approx(backward, rel=1e-3)


@pytest.mark.parametrize("symmetric", [False, True])
def test_gradient(symmetric):
    loss = ReconstructionLoss(0.5, symmetric)
    assert torch.autograd.gradcheck(loss, tuple(value.requires_grad_() for value in maps()))


def test_length_of_features_does_not_matter():
    reconstructed, features = maps()
    loss = ReconstructionLoss()
    scaled = loss(3 * reconstructed, features * torch.tensor([[[1.0], [9.0], [0.1], [4.0], [2.0]]]))
    assert float(scaled) == pytest.approx(float(loss(reconstructed, features)), rel=1e-10)


def test_places_that_are_alike_cannot_be_told_apart():
    reconstructed, features = maps()
    even = features[:, :1].expand(-1, P, -1)
    assert float(ReconstructionLoss()(reconstructed, even)) == pytest.approx(math.log(P), rel=1e-10)


def test_a_perfect_reconstruction_of_distinct_places_has_almost_no_loss():
    features = torch.eye(P, dtype=torch.float64).expand(B, P, P)
    expected = math.log(1 + (P - 1) * math.exp(-10))
    assert float(ReconstructionLoss(0.1)(features, features)) == pytest.approx(expected, rel=1e-6)


def test_bad_temperature():
    with pytest.raises(UserInputError, match=r"temperature=0 of the reconstruction loss must be positive"):
        ReconstructionLoss(0)
