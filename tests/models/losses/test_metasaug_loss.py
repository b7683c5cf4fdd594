"""MetaSAug against loops written from Algorithm 1 in float64, and what it reduces to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import ISDALoss, MetaSAugLoss
from lt_plugins.models.structures.look_ahead import Parameters, detached

COUNTS, CLASSES, CHANNELS, LAMBDA, GAMMA, LR = [30, 7, 2], 3, 4, 0.6, 5.0, 0.2
LABELS, META = torch.tensor([0, 1, 0, 2, 0]), torch.tensor([2, 1, 0, 2, 1, 0])


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def make(**settings: Any) -> MetaSAugLoss:
    """A loss in float64 under way, with covariances that the class had before."""
    loss = MetaSAugLoss(CLASSES, CHANNELS, lambda_0=LAMBDA, gamma=GAMMA, **settings).double()
    loss.class_distribution.set_counts(COUNTS)
    root = numbers(CLASSES, CHANNELS, CHANNELS, seed=1)
    covariance = root @ root.mT / CHANNELS
    is_full = loss.class_covariance.ndim == 3
    loss.class_covariance.copy_(covariance if is_full else covariance.diagonal(dim1=1, dim2=2))
    loss.class_count.fill_(5)
    loss.set_epoch(settings.get("switch_from", 0), 200)
    loss.set_progress(1.0)
    return loss


def as_full(covariance: Tensor) -> Tensor:
    return covariance if covariance.ndim == 3 else torch.diag_embed(covariance)


def slow_loss(features: Tensor, weight: Tensor, bias: Tensor, covariance: Tensor, strength: float, by: str) -> Tensor:
    """Weighted ISDA, an image and a class at a time."""
    epsilon = [(1 - 0.9999) / (1 - 0.9999**count) for count in COUNTS]
    epsilon = [value * CLASSES / sum(epsilon) for value in epsilon]
    total, mass = torch.zeros((), dtype=torch.float64), 0.0
    for image, label in enumerate(LABELS.tolist()):
        augmented = []
        for other in range(CLASSES):
            away = weight[other] - weight[label]
            augmented.append(
                weight[other] @ features[image] + bias[other] + strength / 2 * away @ covariance[label] @ away
            )
        total = total - epsilon[label] * (augmented[label] - torch.logsumexp(torch.stack(augmented), dim=0))
        mass += epsilon[label]
    return total / (mass if by == "weights" else len(LABELS))


class Net(nn.Module):
    """A layer and a classifier, as functions of their parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, CHANNELS, dtype=torch.float64)
        self.fc = nn.Linear(CHANNELS, CLASSES, dtype=torch.float64)
        for place, parameter in enumerate(self.parameters()):
            parameter.data.copy_(numbers(*parameter.shape, seed=10 + place))

    def __call__(self, values: Mapping[str, Tensor], images: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        features = torch.tanh(images @ values["layer.weight"].T + values["layer.bias"])
        return features, values["fc.weight"], values["fc.bias"]


IMAGES, META_IMAGES = numbers(5, 3, seed=20), numbers(6, 3, seed=21)


def plain_step(gradients: Parameters) -> Parameters:
    values = detached(dict(Net().named_parameters()))
    return {name: value - LR * gradients[name] for name, value in values.items()}


def learn(loss: MetaSAugLoss) -> Tensor:
    net = Net()
    parameters = detached(dict(net.named_parameters()))
    return loss.learn_covariance(net, parameters, plain_step, (IMAGES, LABELS), (META_IMAGES, META))


@pytest.mark.parametrize("by", ["weights", "batch"])
@pytest.mark.parametrize("form", ["full", "diagonal"])
def test_covariances_are_those_of_a_gradient_through_the_step(form: str, by: str) -> None:
    """The graph of the step is kept, as the released code does; nothing is shared with the package."""
    loss, net = make(covariance=form, normalize_by=by), Net()
    covariance = loss.class_covariance.clone().requires_grad_()
    values = dict(net.named_parameters())
    features, weight, bias = net(values, IMAGES)
    assert bias is not None
    inner = slow_loss(features, weight, bias, as_full(covariance), LAMBDA, by)
    gradients = torch.autograd.grad(inner, list(values.values()), create_graph=True)
    ahead = {name: value - LR * g for (name, value), g in zip(values.items(), gradients, strict=True)}
    outer = F.cross_entropy(F.linear(*net(ahead, META_IMAGES)), META)
    (gradient,) = torch.autograd.grad(outer, covariance)
    learned = learn(loss)
    torch.testing.assert_close(learned, (covariance - GAMMA * gradient).detach(), rtol=1e-10, atol=1e-12)
    assert float((learned - loss.class_covariance).abs().max()) > 1e-3, "the step of the covariances is tiny"
    value = loss(features, LABELS, weight, bias, covariance=learned)
    torch.testing.assert_close(value, slow_loss(features, weight, bias, as_full(learned), LAMBDA, by))


def test_covariances_against_finite_differences_of_the_two_steps() -> None:
    loss, net = make(), Net()
    running = loss.class_covariance.clone()

    def objective(covariance: Tensor) -> float:
        values = dict(Net().named_parameters())
        features, weight, bias = net(values, IMAGES)
        assert bias is not None
        slow_loss(features, weight, bias, covariance, LAMBDA, "weights").backward()
        ahead = {name: value.detach() - LR * value.grad for name, value in values.items() if value.grad is not None}
        return float(F.cross_entropy(F.linear(*net(ahead, META_IMAGES)), META))

    learned = learn(loss)
    for place in [(0, 0, 0), (0, 1, 3), (1, 2, 2), (2, 3, 0)]:
        moved = torch.zeros_like(running)
        moved[place] = 1e-4
        expected = (objective(running + moved) - objective(running - moved)) / 2e-4
        assert float(running[place] - learned[place]) / GAMMA == pytest.approx(expected, rel=1e-5, abs=1e-10)


def test_without_a_step_it_is_isda_with_class_weights() -> None:
    loss = make()
    loss.gamma = 0.0
    isda = ISDALoss(CLASSES, CHANNELS, class_weight="effective_number").double().eval()
    isda.load_state_dict(loss.state_dict())
    assert torch.equal(learn(loss), loss.class_covariance)
    features, weight, bias = Net()(detached(dict(Net().named_parameters())), IMAGES)
    expected = isda(features, LABELS, weight, bias)
    assert torch.equal(loss(features, LABELS, weight, bias, covariance=learn(loss)), expected)
    assert torch.equal(loss(features, LABELS, weight, bias), expected)


def test_without_augmentation_it_is_weighted_cross_entropy() -> None:
    loss = make()
    loss.set_progress(0.0)
    features, weight, bias = Net()(detached(dict(Net().named_parameters())), IMAGES)
    torch.testing.assert_close(learn(loss), loss.class_covariance, rtol=0, atol=1e-15)
    weights = loss.class_distribution.class_balanced_weights(0.9999)
    expected = F.cross_entropy(F.linear(features, weight, bias), LABELS, weight=weights)
    torch.testing.assert_close(loss(features, LABELS, weight, bias), expected)


def test_plain_until_the_switch() -> None:
    loss = make(switch_from=160)
    features, weight, bias = Net()(detached(dict(Net().named_parameters())), IMAGES)
    assert loss.set_epoch(160, 200).startswith("augmentation along learned covariances, class weights from ")
    assert loss.set_epoch(159, 200) == "plain cross-entropy"
    before = loss.class_covariance.clone()
    expected = F.cross_entropy(F.linear(features, weight, bias), LABELS)
    torch.testing.assert_close(loss(features, LABELS, weight, bias), expected)
    shares = F.one_hot(LABELS, CLASSES).double() * 0.7 + F.one_hot(LABELS.flip(0), CLASSES).double() * 0.3
    torch.testing.assert_close(
        loss(features, shares, weight, bias), F.cross_entropy(F.linear(features, weight, bias), shares)
    )
    assert torch.equal(loss.class_covariance, before)


@pytest.mark.parametrize("settings", [{"gamma": -1.0}, {"switch_from": -1}])
def test_wrong_settings(settings: dict[str, Any]) -> None:
    with pytest.raises(UserInputError, match=r"must be 0 or more, like 0\.1 and 160"):
        MetaSAugLoss(CLASSES, CHANNELS, **settings)
