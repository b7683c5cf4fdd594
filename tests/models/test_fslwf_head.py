"""FSLwF: generated weights and the loss of episodes against loops, which classes compete, and what predictions read."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads import CosineClsHead, FSLwFHead
from lt_plugins.models.structures import LabelBatch
from tests.engine.test_no_waiting import noted_waits

CLASSES, CHANNELS = 7, 5
BASE = [0, 1, 3, 4, 6]
EXEMPLARS = torch.tensor([3, 1, 1, 3, 3])  # classes 1 and 3 play novel ones
QUERIES = torch.tensor([0, 3, 6, 1, 4, 4])
EPISODE = torch.cat([EXEMPLARS, QUERIES])


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def build(**settings: Any) -> FSLwFHead:
    """A head in the middle of its training."""
    torch.manual_seed(0)
    head = FSLwFHead(CLASSES, CHANNELS, **settings).double()
    head.init_weights()
    with torch.no_grad():
        for number, parameter in enumerate(head.parameters()):
            parameter.add_(0.3 * noise(*parameter.shape, seed=10 + number))
    head.set_episodes(BASE, len(EXEMPLARS), len(QUERIES))
    return head


def unit(vector: list[float]) -> list[float]:
    length = math.sqrt(sum(x * x for x in vector))
    return [x / length for x in vector]


def dot(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def slow_weight(head: FSLwFHead, images: list[list[float]], base: list[int]) -> list[float]:
    """Generated weight of a class, number by number."""
    rows = head.fc.weight.tolist()
    generator = head.generator
    weight = [0.0] * CHANNELS
    for image in images:
        z = unit(image)
        attended = [0.0] * CHANNELS
        if generator.attention:
            query = [
                dot(row, z) + b
                for row, b in zip(generator.query.weight.tolist(), generator.query.bias.tolist(), strict=True)
            ]
            scores = [generator.scale.item() * dot(unit(query), unit(generator.keys[c].tolist())) for c in base]
            total = sum(math.exp(score) for score in scores)
            for c, score in zip(base, scores, strict=True):
                attended = [a + math.exp(score) / total * w for a, w in zip(attended, unit(rows[c]), strict=True)]
        for d in range(CHANNELS):
            weight[d] += generator.average[d].item() * z[d] / len(images)
            if generator.attention:
                weight[d] += generator.attended[d].item() * attended[d] / len(images)
    return weight


def slow_loss(head: FSLwFHead, features: Tensor, labels: Tensor) -> float:
    """Cross-entropy of the queries of an episode among the base classes, some of which play novel ones."""
    count = len(EXEMPLARS)
    novel = set(labels[:count].tolist())
    weights = {c: head.fc.weight[c].tolist() for c in BASE if c not in novel}
    for c in novel:
        images = [row.tolist() for row, label in zip(features[:count], labels[:count], strict=True) if label == c]
        weights[c] = slow_weight(head, images, [b for b in BASE if b not in novel])
    losses = []
    for row, label in zip(features[count:], labels[count:].tolist(), strict=True):
        scores = {
            c: head.fc.get_parameter("scale").item() * dot(unit(row.tolist()), unit(weight))
            for c, weight in weights.items()
        }
        losses.append(math.log(sum(math.exp(score) for score in scores.values())) - scores[label])
    return sum(losses) / len(losses)


@pytest.mark.parametrize("attention", [True, False])
def test_the_loss_of_episodes(attention: bool) -> None:
    head = build(attention=attention)
    features, other = noise(len(EPISODE), CHANNELS, seed=1), noise(len(EPISODE), CHANNELS, seed=2)
    labels = torch.tensor([6, 6, 0, 0, 0, 1, 6, 0, 3, 4, 1])
    one, two = slow_loss(head, features, EPISODE), slow_loss(head, other, labels)
    assert loss_of(head, features, EPISODE) == pytest.approx(one, rel=1e-12)
    together = loss_of(head, torch.cat([features, other]), torch.cat([EPISODE, labels]))
    assert together == pytest.approx((one + two) / 2, rel=1e-12)


def loss_of(head: FSLwFHead, features: Tensor, labels: Tensor) -> float:
    return head.loss((features,), LabelBatch(labels))["loss"].item()


def test_the_gradient_is_the_derivative() -> None:
    head = build()
    names = [name for name, _ in head.named_parameters()]

    def value(features: Tensor, *parameters: Tensor) -> Tensor:
        arguments = (head, dict(zip(names, parameters, strict=True)), ((features,), LabelBatch(EPISODE)))
        with torch.nn.utils.stateless._reparametrize_module(*arguments[:2]):
            return head.loss(*arguments[2])["loss"]

    inputs = [noise(len(EPISODE), CHANNELS, seed=1), *(p.detach().clone() for p in head.parameters())]
    assert torch.autograd.gradcheck(value, [tensor.requires_grad_() for tensor in inputs])


def test_classes_outside_an_episode_get_no_gradient() -> None:
    """Those that are novel in earnest; and the weights of those that play novel ones do not compete."""
    head = build()
    head.loss((noise(len(EPISODE), CHANNELS),), LabelBatch(EPISODE))["loss"].backward()
    for parameter in (head.fc.weight, head.generator.keys):
        assert parameter.grad is not None
        assert parameter.grad.abs().sum(dim=1).gt(0).tolist() == [c in {0, 4, 6} for c in range(CLASSES)]


def test_a_new_generator_gives_the_mean_direction_and_what_it_attends_to() -> None:
    head = FSLwFHead(CLASSES, CHANNELS, attention=False).double()
    rows = noise(1, CHANNELS)
    head.set_episodes(BASE, 1, 1)
    head.set_novel_weight(rows, torch.tensor([2]))
    torch.testing.assert_close(head.novel_weight[2], F.normalize(rows)[0])
    head = FSLwFHead(CLASSES, CHANNELS).double()
    head.set_episodes([4], 1, 1)  # a single class gets all attention
    head.set_novel_weight(rows, torch.tensor([2]))
    torch.testing.assert_close(head.novel_weight[2], F.normalize(rows)[0] + F.normalize(head.fc.weight)[4])
    assert head.fc.get_parameter("scale").item() == 10.0


def test_predictions_read_learned_and_generated_weights() -> None:
    head = build()
    feats = (noise(4, CHANNELS, seed=3),)
    images, labels = noise(6, CHANNELS, seed=4), torch.tensor([2, 2, 2, 2, 2, 2])
    head.set_novel_weight(images, labels)
    weight = head.fc.weight.detach().clone()
    weight[2] = weight.new_tensor(slow_weight(head, images.tolist(), BASE))  # class 5 has no image and keeps its own
    expected = head.fc.get_parameter("scale") * F.normalize(feats[0]) @ F.normalize(weight).T
    torch.testing.assert_close(head.eval()(feats), expected)
    torch.testing.assert_close(F.linear(F.normalize(feats[0]), *head.affine()), expected)
    other = FSLwFHead(CLASSES, CHANNELS).double()
    other.load_state_dict(head.state_dict())
    assert torch.equal(other(feats), head(feats)), "a checkpoint needs no images"


def test_before_its_first_epoch_it_is_a_cosine_classifier() -> None:
    torch.manual_seed(0)
    plain = CosineClsHead(CLASSES, CHANNELS, scale=10.0, learn_scale=True)
    with torch.no_grad():
        plain.get_parameter("fc.scale").fill_(12.0)
    head = FSLwFHead(CLASSES, CHANNELS)
    head.fc.load_state_dict(plain.fc.state_dict())
    feats = (noise(4, CHANNELS).float(),)
    torch.testing.assert_close(head(feats), plain(feats))
    torch.testing.assert_close(plain(feats), 12 * F.normalize(feats[0]) @ F.normalize(plain.fc.weight).T)


def test_half_precision_computes_in_float32() -> None:
    head = build().float()
    features = noise(len(EPISODE), CHANNELS).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = head.loss((features,), LabelBatch(EPISODE))["loss"]
    torch.testing.assert_close(loss, head.loss((features,), LabelBatch(EPISODE))["loss"])


def test_a_step_waits_for_nothing() -> None:
    head, batch = build(), LabelBatch(EPISODE)
    with noted_waits() as names:
        head.loss((noise(len(EPISODE), CHANNELS),), batch)["loss"].backward()
    assert names == []


def test_the_prior_is_uniform() -> None:
    torch.testing.assert_close(build().trained_prior(torch.tensor([0.7, 0.2, 0.1])), torch.full((3,), 1 / 3))


def test_what_does_not_fit_is_refused() -> None:
    head = FSLwFHead(CLASSES, CHANNELS)
    batch = (noise(11, CHANNELS).float(),), LabelBatch(EPISODE)
    with pytest.raises(UserInputError, match=r"let dict\(type='EpisodicSampler'\) draw the images"):
        head.loss(*batch)
    head.set_episodes(BASE, 3, 3)
    with pytest.raises(UserInputError, match="a batch of 11 images is not made of episodes of 6"):
        head.loss(*batch)
    for classes in ([], [7], [-1, 2]):
        with pytest.raises(UserInputError, match=r"base_classes=\[.*\] of FSLwFHead must be classes from 0 to 6"):
            head.set_episodes(classes, 3, 3)
    with pytest.raises(UserInputError, match="attention_scale=0 must be positive"):
        FSLwFHead(CLASSES, CHANNELS, attention_scale=0)
    with pytest.raises(UserInputError, match="the head learns its scale"):
        CosineClsHead(CLASSES, CHANNELS, learn_scale=True, loss={"type": "LDAMLoss"})
