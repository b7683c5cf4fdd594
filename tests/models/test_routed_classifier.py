"""RIDE's router against slow loops over images and experts."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.expert_usage import ExpertUsage
from lt_plugins.models.classifiers import ExpertRouter
from lt_plugins.models.structures import LabelBatch
from lt_plugins.registry import MODELS
from tests.battery import noise

IMAGES = noise(12, 3, 32, 32)
LABELS = LabelBatch(torch.tensor([0, 2, 1, 1, 0, 2, 2, 0, 2, 3, 3, 1]), sample_idx=torch.arange(12))


def gate(router: ExpertRouter, expert: int, feature: Tensor, logits: Tensor) -> float:
    """A gate for one image, by its definition."""
    length = math.sqrt(sum(float(x) ** 2 for x in feature))
    layer: Any = router.hidden[expert]
    hidden = [
        max(0.0, float(sum(w * x / length for w, x in zip(row, feature, strict=True)) + b))
        for row, b in zip(layer.weight, layer.bias, strict=True)
    ]
    top = sorted((float(z) for z in logits), reverse=True)[: router.num_top]
    return float(sum(w * x for w, x in zip(router.fc.weight[0], [*top, *hidden], strict=True)) + router.fc.bias[0])


def network(**changes: Any) -> Any:
    """A routed network of three small experts in float64."""
    torch.manual_seed(0)
    head = {"type": "MultiExpertHead", "num_classes": 4, "in_channels": 48, "num_experts": 3}
    backbone = {"type": "CIFARResNet", "depth": 20, "num_experts": 3, "expert_width": 0.75}
    model = MODELS.build({"type": "RoutedClassifier", "backbone": backbone, "head": head, "num_top": 3, **changes})
    model.init_weights()
    return model.double().eval()


def slow_route(model: Any, images: Tensor) -> tuple[list[list[float]], list[int]]:
    """Each image by itself: an expert after the other, until a gate says no."""
    feats = [x.double() for x in model.extract_feat(images)]
    logits = model.head.expert_logits(model.head.pre_logits(tuple(feats)))
    means, asked = [], []
    for image in range(len(images)):
        number = 1
        while number < 3:
            mean = logits[image, :number].sum(dim=0) / number
            if gate(model.router, number - 1, feats[number - 1][image], mean) <= 0:
                break
            number += 1
        asked.append(number)
        means.append((logits[image, :number].sum(dim=0) / number).tolist())
    return means, asked


@torch.no_grad()
def test_asks_experts_in_turn() -> None:
    model = network()
    # Of each gate a single hidden unit counts, which exceeds 1 for half of the images.
    feats = model.extract_feat(IMAGES.double())
    model.router.fc.weight.copy_(torch.tensor([[1e-3] * 3 + [1.0] + [0.0] * 15]))
    model.router.fc.bias.fill_(-1)
    for layer, feature in zip(model.router.hidden, feats, strict=False):
        layer.weight[0] *= 1000
        layer.bias[0] = 1 - layer(torch.nn.functional.normalize(feature, dim=1))[:, 0].median()
    means, asked = slow_route(model, IMAGES.double())
    found, numbers = model.route(IMAGES.double())
    assert {*asked} == {1, 2, 3}
    assert numbers.tolist() == asked
    torch.testing.assert_close(found, torch.tensor(means, dtype=torch.float64))
    predicted = model.predict(IMAGES.double(), LABELS)
    torch.testing.assert_close(predicted.pred_score, torch.softmax(found, dim=1))
    assert predicted.num_experts.tolist() == asked
    assert predicted[3].num_experts == asked[3]


@pytest.mark.parametrize(("bias", "number"), [(-1e3, 1), (1e3, 3)])
@torch.no_grad()
def test_one_expert_and_all(bias: float, number: int) -> None:
    """Gates that always say no leave the first expert, that always say yes the network of stage 1."""
    model = network()
    model.router.fc.bias.fill_(bias)
    calls: list[int] = []
    branch = model.backbone.branch

    def counted(shared: Tensor, expert: int) -> Any:
        calls.append(expert)
        return branch(shared, expert)

    model.backbone.branch = counted
    logits, asked = model.route(IMAGES.double())
    assert asked.tolist() == [number] * 12
    assert calls == list(range(number)), "others are not computed"
    feats = model.extract_feat(IMAGES.double())
    expected = model.head.expert_logits(model.head.pre_logits(feats))[:, :number].mean(dim=1)
    torch.testing.assert_close(logits, expected)


def test_loss_is_that_of_the_formula() -> None:
    router = ExpertRouter(3, 5, num_top=2, hidden_channels=4, positive_weight=7.0).double()
    features = [noise(6, 5, seed=seed).double() for seed in range(3)]
    logits, labels = noise(6, 3, 4, seed=9).double(), torch.tensor([0, 1, 2, 3, 0, 1])
    total = 0.0
    for expert in range(2):
        for image in range(6):
            means = [logits[image, : k + 1].mean(dim=0) for k in range(3)]
            right = [int(mean.argmax()) == int(labels[image]) for mean in means]
            helps = not right[expert] and any(right[expert + 1 :])
            said = gate(router, expert, features[expert][image], means[expert])
            total += 7 * math.log1p(math.exp(-said)) if helps else math.log1p(math.exp(said))
    found = router.loss(features, logits, labels)
    assert found.item() == pytest.approx(total / 12, rel=1e-12)
    assert torch.autograd.gradcheck(
        lambda x: router.loss([x, *features[1:]], logits, labels), features[0].requires_grad_()
    )


def test_only_the_router_learns() -> None:
    model = network().float().train()
    before = copy.deepcopy(model.state_dict())
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    model.loss(IMAGES, LABELS)["loss"].backward()
    optimiser.step()
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {f"router.{name}" for name, _ in model.router.named_parameters()}
    assert not any(module.training for part in (model.backbone, model.head) for module in part.modules())


def test_usage_is_reported() -> None:
    metric = ExpertUsage()
    batch = LabelBatch(torch.zeros(4).long()).with_predictions(torch.ones(4, 2), torch.tensor([1, 3, 3, 1]))
    metric.process(None, [sample.to_dict() for sample in batch])
    assert metric.evaluate(4) == {
        "experts/mean": 2.0,
        "experts/asked_1": 50.0,
        "experts/asked_2": 0.0,
        "experts/asked_3": 50.0,
    }
    plain = LabelBatch(torch.zeros(1).long()).with_predictions(torch.ones(1, 2))
    with pytest.raises(UserInputError, match=r"ExpertUsage counts the experts that a RoutedClassifier asks"):
        metric.process(None, [plain[0].to_dict()])


def test_settings_are_checked() -> None:
    with pytest.raises(
        UserInputError, match=r"chooses among the experts of a MultiExpertHead, and LinearHead has none"
    ):
        network(head={"type": "LinearHead", "num_classes": 4, "in_channels": 48})
    with pytest.raises(UserInputError, match=r"num_experts=1: there is something to choose from 2 experts on"):
        ExpertRouter(1, 5, num_top=2)
    with pytest.raises(UserInputError, match=r"positive_weight=0 positive"):
        ExpertRouter(2, 5, num_top=2, positive_weight=0)
    assert network(num_top=30).router.num_top == 4, "as many as there are classes"
