"""Attribute positives: LPA's term beside any contrastive loss, and on PaCo LPA itself, bit for bit."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads import LPAHead, PaCoHead
from lt_plugins.models.losses import AttributePositives, ContrastAuxLoss, KCLLoss, SupConLoss
from lt_plugins.models.losses.pseudo_attributes import PseudoAttributes, find_pseudo_attributes
from lt_plugins.models.structures import ContrastBatch
from tests import battery
from tests.engine.test_no_waiting import noted_waits
from tests.models.reference import random_contrast, two_view_contrast

K, CHANNELS, NUM_CLASSES = 7, 6, 4
SMALL: dict[str, Any] = {"num_attributes": K, "attributes_per_class": 3}


def tables(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Prototypes and class scores of a clustering."""
    generator = torch.Generator().manual_seed(seed)
    prototypes = F.normalize(torch.randn(K, CHANNELS, generator=generator), dim=1)
    return prototypes, torch.rand(NUM_CLASSES, K, generator=generator)


def make_loss(scores: Tensor | None = None, **settings: Any) -> AttributePositives:
    loss = AttributePositives(**{**SMALL, "temperature": 0.2, "weights": 0.5, **settings})
    prototypes, random_scores = tables()
    loss.set_attributes(prototypes, random_scores if scores is None else scores)
    return loss


def slow_value(contrast: ContrastBatch, scores: Tensor, per_class: int, temperature: float) -> float:
    """Loops over anchors, candidates and sets of attributes."""
    attributes = []
    for row in scores.tolist():
        ranked = sorted(range(len(row)), key=lambda k: -row[k])
        attributes.append(set(ranked[:per_class]) if max(row) > min(row) else set())
    anchors, candidates = contrast.anchors.detach().double().tolist(), contrast.candidates.double().tolist()
    labels, others = contrast.anchor_labels.tolist(), contrast.candidate_labels.tolist()
    assert contrast.anchor_positions is not None
    values = []
    for i, anchor in enumerate(anchors):
        compared = [j for j in range(len(others)) if others[j] >= 0 and j != int(contrast.anchor_positions[i])]
        cosine = {j: math.fsum(a * b for a, b in zip(anchor, candidates[j], strict=True)) for j in compared}
        total = math.fsum(math.exp(cosine[j] / temperature) for j in compared)
        weighted, weights = [], []
        for j in compared:
            one, other = attributes[labels[i]], attributes[others[j]]
            share = 1.0 if labels[i] == others[j] else len(one & other) / len(one | other) if one | other else 0.0
            weights.append(share)
            weighted.append(-share * (cosine[j] / temperature - math.log(total)))
        values.append(math.fsum(weighted) / math.fsum(weights) if math.fsum(weights) else 0.0)
    return math.fsum(values) / len(values)


@pytest.mark.parametrize("make", [random_contrast, two_view_contrast])
@pytest.mark.parametrize("per_class", [1, 3, K])
def test_value_is_that_of_loops(make: Any, per_class: int) -> None:
    scores = tables()[1]
    scores[2] = 0  # a class without images, and without attributes
    loss = make_loss(scores, attributes_per_class=per_class)
    contrast = make()
    assert float(loss(contrast).detach()) == pytest.approx(
        0.5 * slow_value(contrast, scores, per_class, 0.2), rel=1e-12
    )


def test_gradient_is_that_of_differences() -> None:
    contrast = random_contrast()
    loss = make_loss()

    def value(anchors: Tensor, candidates: Tensor) -> Tensor:
        return loss(
            ContrastBatch(
                anchors, contrast.anchor_labels, candidates, contrast.candidate_labels, contrast.anchor_positions
            )
        )

    candidates = contrast.candidates.clone().requires_grad_()
    assert torch.autograd.gradcheck(value, (contrast.anchors, candidates))


def test_disjoint_attributes_are_plain_supcon() -> None:
    """So is one attribute a class."""
    contrast = random_contrast()
    for per_class, scores in ((1, torch.eye(NUM_CLASSES, K)), (1, torch.eye(NUM_CLASSES, K).flip(1))):
        value = make_loss(scores, attributes_per_class=per_class)(contrast)
        torch.testing.assert_close(value, 0.5 * SupConLoss(0.2)(contrast), rtol=1e-12, atol=0)


def test_attributes_that_all_share_make_all_alike() -> None:
    """Each candidate is a full positive: the loss asks for even similarities and knows no class."""
    contrast = random_contrast()
    scores = torch.zeros(NUM_CLASSES, K)
    scores[:, :3] = 1
    value = make_loss(scores)(contrast)
    everyone = torch.ones_like(contrast.cosine)
    torch.testing.assert_close(value, 0.5 * SupConLoss(0.2)(contrast, everyone), rtol=1e-12, atol=0)


@pytest.mark.parametrize("contrastive", [SupConLoss(), KCLLoss(num_positives=2)])
def test_without_weight_or_attributes_it_is_zero(contrastive: Any) -> None:
    """The other loss stays as it is, in value and gradient."""
    for loss in (AttributePositives(**SMALL), make_loss(weights=0.0), make_loss(weights=[(3, 0.1)])):
        alone, both = (two_view_contrast(), two_view_contrast())
        torch.manual_seed(0)
        contrastive(alone).backward()
        torch.manual_seed(0)
        value = contrastive(both)
        added = loss(both)
        assert added.item() == 0
        assert added.dtype == torch.float64
        (value + added).backward()
        assert torch.equal(alone.anchors.grad, both.anchors.grad)


def test_weight_follows_the_epochs() -> None:
    loss = make_loss(weights=[(0, 0.0), (2, 0.1), (5, 0.4)])
    contrast = random_contrast()
    one = make_loss(weights=1.0)(contrast)
    for epoch, weight in ((0, 0.0), (2, 0.1), (4, 0.1), (7, 0.4)):
        assert loss.set_epoch(epoch, 10) == f"weight {weight:g}"
        torch.testing.assert_close(loss(contrast), weight * one)


def test_a_step_waits_for_nothing() -> None:
    contrast = two_view_contrast()
    for loss in (make_loss(), AttributePositives(**SMALL)):
        with noted_waits() as names:
            loss(contrast)
        assert names == []


# --- Beside PaCo it is LPA ---


def test_on_pacos_loss_it_is_lpa_bit_for_bit() -> None:
    head = LPAHead(NUM_CLASSES, CHANNELS, **SMALL, alpha=0.3, loss={"temperature": 0.05})
    plain = PaCoHead(NUM_CLASSES, CHANNELS, loss={"temperature": 0.05})
    loss = make_loss(weights=0.3, temperature=0.05)
    for one in (head, plain):
        one.loss_module.class_distribution.set_counts([40, 30, 20, 10])
    plain.load_state_dict(head.state_dict(), strict=False)
    head.set_attributes(*tables())
    for dtype in (torch.float32, torch.float64):
        contrasts = [random_contrast(dtype=dtype), random_contrast(dtype=dtype)]
        feats = [battery.noise(6, CHANNELS).requires_grad_() for _ in range(2)]
        lpa = head.loss((feats[0],), [], contrast=contrasts[0])
        paco = plain.loss((feats[1],), [], contrast=contrasts[1])
        paco["loss_attribute"] = loss(contrasts[1])
        assert [*lpa] == [*paco]
        for name, value in lpa.items():
            assert torch.equal(value, paco[name]), name
        for losses in (lpa, paco):
            sum(losses.values()).backward()  # type: ignore[union-attr]
        assert torch.equal(contrasts[0].anchors.grad, contrasts[1].anchors.grad)
        assert torch.equal(feats[0].grad, feats[1].grad)  # type: ignore[arg-type]


# --- Tables, and where they are ---


def test_tables_have_the_size_of_the_data_and_travel_in_the_state() -> None:
    loss, other = make_loss(), AttributePositives(**SMALL)
    assert not other.has_attributes and not len(other.prototypes)
    other.load_state_dict(loss.state_dict())
    assert other.has_attributes
    for name in PseudoAttributes.sized_by_data:
        assert torch.equal(getattr(other, name), getattr(loss, name)), name
    head = LPAHead(NUM_CLASSES, CHANNELS, **SMALL)
    head.set_attributes(*tables())
    for name in PseudoAttributes.sized_by_data:
        assert torch.equal(getattr(head, name), getattr(loss, name)), name


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"attributes_per_class": 8}, r"attributes_per_class=8 must be in 1\.\.num_attributes=7"),
        ({"attributes_per_class": 0}, "attributes_per_class=0 must be"),
        ({"assignment_temperature": 0.0}, r"assignment_temperature=0\.0 must be positive"),
        ({"temperature": -1}, "temperature=-1 must be positive"),
        ({"weights": -0.1}, r"weights=-0\.1 must be a weight of 0 or more"),
    ],
)
def test_settings_without_meaning_are_refused(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        AttributePositives(**{**SMALL, **bad})


def test_tables_of_another_number_of_attributes_are_refused() -> None:
    prototypes, scores = tables()
    for given in ((prototypes[:5], scores), (prototypes, scores[:, :5])):
        with pytest.raises(UserInputError, match="must both be num_attributes=7"):
            AttributePositives(**SMALL).set_attributes(*given)


# --- In classifiers ---


class Watcher(ContrastAuxLoss):
    """Notes the contrast that it is given, and adds no loss."""

    def forward(self, contrast: ContrastBatch) -> None:
        self.seen = contrast


def build(kind: str, **settings: Any) -> Any:
    small = {"projection_dim": 8, "queue_size": 16}
    model = MODELS.build({"type": kind, **battery.MODULES[kind].required, **small, **settings})
    battery.set_counts(model)
    return model


def two_views() -> list[Tensor]:
    return [battery.noise(6, 3, 32, 32, seed=seed) for seed in (0, 1)]


LABELS = torch.tensor([0, 1, 1, 0, 3, 3])
AUX = {"attribute": {"type": "AttributePositives", **SMALL, "temperature": 0.2}}


@pytest.mark.parametrize("kind", ["TwoViewClassifier", "MomentumClassifier"])
def test_a_classifier_gives_it_the_contrast_of_its_own_loss(kind: str) -> None:
    torch.manual_seed(0)
    model = build(kind, aux_losses=AUX)
    model.aux_losses["attribute"].set_attributes(F.normalize(battery.noise(K, 64), dim=1), tables()[1])
    model.aux_losses["seen"] = watcher = Watcher()
    given: list[ContrastBatch] = []
    model.head.loss_module.register_forward_pre_hook(lambda module, inputs: given.append(inputs[1]))
    losses = model.loss(two_views(), battery.samples(LABELS))
    assert [*losses] == ["loss_paco", "loss_attribute"]
    assert watcher.seen is given[0]
    assert losses["loss_attribute"].item() > 0
    gradient = torch.autograd.grad(losses["loss_attribute"], [*model.projector.parameters()])
    assert all(part.abs().sum() > 0 for part in gradient)
    names = {name for name in model.state_dict() if name.startswith("aux_losses.")}
    assert names == {f"aux_losses.attribute.{name}" for name in PseudoAttributes.sized_by_data}
    assert {*build(kind).state_dict()} == {*model.state_dict()} - names


def test_losses_that_the_classifier_cannot_feed_are_refused() -> None:
    with pytest.raises(UserInputError, match=r"aux_losses\.center is CenterLoss, which reads features and logits; Two"):
        build("TwoViewClassifier", aux_losses={"center": {"type": "CenterLoss"}})
    classifier = {"type": "AuxLossClassifier", **battery.MODULES["AuxLossClassifier"].required, "aux_losses": AUX}
    with pytest.raises(
        UserInputError, match=r"aux_losses\.attribute is AttributePositives, which reads a contrast; Aux"
    ):
        MODELS.build(classifier)
    model = build("TwoViewClassifier", aux_losses={"paco": AUX["attribute"]})
    with pytest.raises(UserInputError, match=r"aux_losses\.paco would take the place of loss_paco of the head"):
        model.loss(two_views(), battery.samples(LABELS))


def test_a_model_holds_attributes_once() -> None:
    head = {"type": "LPAHead", "num_classes": 4, "in_channels": 64, "num_attributes": K}
    assert find_pseudo_attributes(build("TwoViewClassifier")) is None
    model = build("TwoViewClassifier", head=head)
    assert find_pseudo_attributes(model) is model.head
    with pytest.raises(UserInputError, match=r"head and aux_losses\.attribute hold pseudo-attributes; a model has one"):
        find_pseudo_attributes(build("TwoViewClassifier", head=head, aux_losses=AUX))
