"""What every loss on LongTailLoss inherits: class weights, deferred re-weighting, mixed labels, sizes, precision."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import ISDALoss, LongTailLoss, MultiExpertLoss
from lt_plugins.models.losses.long_tail_loss import RULES
from tests import battery

COUNTS = [500, 81, 16, 1]
WEIGHTS = [0.1, 0.4, 1.5, 2.0]
ON_LOGITS = sorted(name for name, cls in battery.registered("MODELS").items() if battery.is_logits_loss(cls))
NAMES = [*ON_LOGITS, "ISDALoss"]


class PlainLoss(LongTailLoss):
    """Cross-entropy, whose values are known."""

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(logits, labels, reduction="none")


class PriorLoss(LongTailLoss):
    """Balanced softmax, whose loss of a class without images is infinite."""

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy with the priors."""
        adjusted = logits + self.class_distribution.log_priors().to(logits)
        return F.cross_entropy(adjusted, labels, reduction="none")


class OnLogits(nn.Module):
    """ISDALoss as a loss of logits: its features are the logits, classified by the identity."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        self.inner = ISDALoss(4, 4, covariance="full", **kwargs).eval()
        spread = battery.noise(4, 4, 4)
        self.inner.class_covariance.copy_(spread @ spread.mT)
        self.inner.set_progress(1.0)

    def forward(self, logits: Tensor, labels: Tensor, class_weight: Tensor | None = None) -> Tensor:
        """The loss of the features."""
        return self.inner(logits, labels, torch.eye(4, dtype=logits.dtype), class_weight=class_weight)


class OfExperts(nn.Module):
    """A loss of three experts as one of logits, of which each expert makes its own."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, logits: Tensor, labels: Tensor, **kwargs: Any) -> Tensor:
        """The loss of the experts."""
        return self.inner(experts_of(logits), labels, **kwargs)


def experts_of(logits: Tensor) -> Tensor:
    """Logits of three experts, exactly the same in every precision."""
    with torch.autocast("cpu", enabled=False):
        return torch.stack([logits, logits.roll(1, dims=1) / 2, -logits], dim=1)


def build(name: str, counts: list[int] | None = COUNTS, **kwargs: Any) -> Any:
    """A loss with class counts; the same weights, covariances and strength in every call, and no noise."""
    loss: Any = OnLogits(**kwargs) if name == "ISDALoss" else MODELS.build({"type": name, **kwargs})
    loss = OfExperts(loss) if isinstance(loss, MultiExpertLoss) else loss
    if counts is not None:
        of(loss).class_distribution.set_counts(counts)
    return loss.double().eval()


def of(loss: Any) -> LongTailLoss:
    """The loss itself."""
    inner: Any = loss.inner if isinstance(loss, (OnLogits, OfExperts)) else loss
    return inner


def logits_of(size: int = 6, seed: int = 0) -> Tensor:
    return 2 * battery.noise(size, 4, seed=seed).double()


LABELS = torch.tensor([0, 3, 1, 2, 0, 0])


def gradient(leaf: Tensor) -> Tensor:
    """Gradient of a leaf that a backward pass has reached."""
    assert leaf.grad is not None
    return leaf.grad


def each(name: str, logits: Tensor, labels: Tensor) -> list[float]:
    """Losses of one image after the other."""
    return [float(build(name)(logits[i : i + 1], labels[i : i + 1])) for i in range(len(labels))]


def unweighted(name: str, logits: Tensor, labels: Tensor, **kwargs: Any) -> list[float]:
    """Of the losses of the images, the terms that class weights leave alone."""
    loss = of(build(name, **kwargs))
    terms = loss.unweighted_per_sample(experts_of(logits) if isinstance(loss, MultiExpertLoss) else logits, labels)
    return [0.0] * len(labels) if terms is None else terms.tolist()


def weighable(name: str, logits: Tensor, labels: Tensor) -> list[float]:
    """The other terms."""
    both = zip(each(name, logits, labels), unweighted(name, logits, labels), strict=True)
    return [loss - other for loss, other in both]


def mixed(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Labels as mmpretrain's Mixup makes them."""
    return share * F.one_hot(first, 4).double() + (1 - share) * F.one_hot(second, 4).double()


# ------------------------------------------------------------------------------------------------ of every subclass


def test_the_battery_finds_them() -> None:
    assert {"LDAMLoss", "LabelAwareSmoothLoss", "ISDALoss"} <= set(NAMES)
    assert "LongTailLoss" not in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_mean_of_the_losses_of_each_image(name: str) -> None:
    logits = logits_of()
    assert float(build(name)(logits, LABELS)) == pytest.approx(sum(each(name, logits, LABELS)) / 6, rel=1e-10)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("class_weight", [None, WEIGHTS])
def test_mixed_labels_are_the_weighted_sum_of_the_two_losses(name: str, class_weight: list[float] | None) -> None:
    logits, partners, share = logits_of(), LABELS.roll(1), 0.3  # images 0 and 5 are mixed with their own class
    value = float(build(name, class_weight=class_weight)(logits, mixed(LABELS, partners, share)))
    weights = class_weight or [1.0] * 4
    total = mass = others = 0.0
    for part, labels in ((share, LABELS), (1 - share, partners)):
        for loss, label in zip(weighable(name, logits, labels), labels.tolist(), strict=True):
            total += part * weights[label] * loss
            mass += part * weights[label]
        others += part * sum(unweighted(name, logits, labels, class_weight=class_weight)) / len(labels)
    assert value == pytest.approx(total / mass + others, rel=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_each_label_of_mixed_images_by_its_own_weights(name: str) -> None:
    """``normalize_by="labels"``; an image mixed with its own class is of it alone, and has no smaller share."""
    logits, share = logits_of(), 0.3
    partners = (LABELS + 1) % 4
    partners[2] = LABELS[2]
    loss = build(name, class_weight=WEIGHTS, normalize_by="labels")
    expected = others = 0.0
    for part, labels in ((share, LABELS), (1 - share, partners)):
        parts = torch.full((6,), part)
        parts[2] = part > 0.5  # the larger share is the partner's
        terms = weighable(name, logits, labels)
        mass = [float(p) * WEIGHTS[label] for p, label in zip(parts, labels.tolist(), strict=True)]
        expected += float(parts.mean()) * sum(m * term for m, term in zip(mass, terms, strict=True)) / sum(mass)
        others += part * sum(unweighted(name, logits, labels, class_weight=WEIGHTS)) / len(labels)
    assert float(loss(logits, mixed(LABELS, partners, share))) == pytest.approx(expected + others, rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_one_hot_scores_are_labels(name: str) -> None:
    loss, logits = build(name), logits_of()
    assert float(loss(logits, F.one_hot(LABELS, 4).double())) == pytest.approx(float(loss(logits, LABELS)), rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_class_weights_as_a_list_and_of_a_call(name: str) -> None:
    logits = logits_of()
    losses, weights = weighable(name, logits, LABELS), [WEIGHTS[label] for label in LABELS.tolist()]
    expected = sum(w * value for w, value in zip(weights, losses, strict=True)) / sum(weights)
    others = sum(unweighted(name, logits, LABELS, class_weight=WEIGHTS)) / len(LABELS)
    assert float(build(name, class_weight=WEIGHTS)(logits, LABELS)) == pytest.approx(expected + others, rel=1e-10)
    value = build(name)(logits, LABELS, class_weight=torch.tensor(WEIGHTS))
    others = sum(unweighted(name, logits, LABELS)) / len(LABELS)
    assert float(value) == pytest.approx(expected + others, rel=1e-6)  # they came in float32


@pytest.mark.parametrize("name", NAMES)
def test_reweighted_from_an_epoch_on(name: str) -> None:
    logits = logits_of()
    equal = build(name)(logits, LABELS)
    weighted = build(name, class_weight="effective_number")(logits, LABELS)
    assert float(equal) != pytest.approx(float(weighted), rel=1e-3)
    deferred = build(name, class_weight="effective_number", reweight_from=2)
    assert torch.equal(deferred(logits, LABELS), equal), "before any epoch"
    for epoch, expected in ((0, equal), (1, equal), (2, weighted), (3, weighted), (1, equal)):
        of(deferred).set_epoch(epoch, 4)
        assert torch.equal(deferred(logits, LABELS), expected), epoch


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_class_disturbs_no_other(name: str) -> None:
    for rule in (None, "inverse", "effective_number"):
        loss = build(name, [30, 7, 0, 1], class_weight=rule)
        logits = logits_of().requires_grad_()
        value = loss(logits, torch.tensor([0, 1, 3, 0, 1, 0]))
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(gradient(logits)).all()


@pytest.mark.parametrize("name", NAMES)
def test_equal_counts_weigh_all_classes_the_same(name: str) -> None:
    logits, equal = logits_of(), [9] * 4
    for rule in RULES:
        value = build(name, equal, class_weight=rule)(logits, LABELS)
        assert float(value) == pytest.approx(float(build(name, equal)(logits, LABELS)), rel=1e-12)


# What makes of each loss a plain cross-entropy where all classes have as many images.
PLAIN = {
    "BalancedSoftmaxLoss": {},
    "GCLLoss": {},
    "GeneralizedCrossEntropyLoss": {"q": 0.0},
    "ISDALoss": {"lambda_0": 0.0},
    "LDAMLoss": {"max_margin": 0.0},
    "LabelAwareSmoothLoss": {},
    "LogitAdjustmentLoss": {},
    "SoftmaxFocalLoss": {"gamma": 0.0},
    "VectorScalingLoss": {},
    "WeightedCrossEntropyLoss": {},
}


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_without_its_method_it_is_cross_entropy(name: str) -> None:
    logits = logits_of()
    value = build(name, [9] * 4, **PLAIN[name])(logits, LABELS)
    assert float(value) == pytest.approx(float(F.cross_entropy(logits, LABELS)), rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_does_not_reach_the_loss(name: str, dtype: torch.dtype) -> None:
    loss = build(name, class_weight="inverse").float()
    half = (10 * logits_of()).to(dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(half, LABELS)
    value.backward()
    assert value.dtype == torch.float32
    assert torch.isfinite(gradient(half)).all()
    torch.testing.assert_close(value, loss(half.detach().float(), LABELS), rtol=0, atol=0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [None, 0.3])
def test_gradients_equal_finite_differences(name: str, share: float | None) -> None:
    loss, label = build(name, class_weight=WEIGHTS), LABELS[:3]
    target = label if share is None else mixed(label, label.roll(1), share)
    logits = logits_of(3).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: loss(z, target), logits)


@pytest.mark.parametrize("name", NAMES)
def test_state_brings_the_counts_to_a_loss_that_knows_no_classes(name: str) -> None:
    trained = build(name, class_weight="effective_number")
    for fresh in (build(name, None, class_weight="effective_number"), build(name, [1, 1], class_weight="inverse")):
        fresh.load_state_dict(trained.state_dict())
        of(fresh).class_weight = "effective_number"
        assert of(fresh).class_distribution.counts.tolist() == COUNTS
        assert torch.equal(fresh(logits_of(), LABELS), trained(logits_of(), LABELS))
    assert not [key for key in trained.state_dict() if "weight" in key], "weights follow from settings and counts"


@pytest.mark.parametrize("name", ON_LOGITS)
def test_the_call_of_mmpretrain_heads_and_of_a_plain_loop(name: str) -> None:
    loss, logits = build(name, class_weight=WEIGHTS), logits_of()
    assert torch.equal(loss(logits, LABELS), loss(logits, LABELS, avg_factor=len(logits)))


# -------------------------------------------------------------------------------------------------- of the base itself


def slow_weights(counts: list[int], rule: str, beta: float = 0.9999, power: float = 0.25) -> list[float]:
    """METHODS 3.3 and METHODS_BEYOND 8, class by class; the effective number as the geometric series that it is."""
    known = [n or min(filter(None, counts)) for n in counts]
    raw = {
        "inverse": [1 / n for n in known],
        "inverse_sqrt": [n**-0.5 for n in known],
        "inverse_power": [(n / sum(known)) ** -power for n in known],
        "effective_number": [1 / sum(beta**i for i in range(n)) for n in known],
    }[rule]
    return [value * len(raw) / sum(raw) for value in raw]


def plain(counts: list[int] | None = COUNTS, **kwargs: Any) -> PlainLoss:
    loss = PlainLoss(**kwargs)
    if counts is not None:
        loss.class_distribution.set_counts(counts)
    return loss


@pytest.mark.parametrize("counts", [COUNTS, [50, 0, 2, 7]])
@pytest.mark.parametrize("rule", RULES)
def test_weights_by_rule(rule: str, counts: list[int]) -> None:
    weights = plain(counts, class_weight=rule).current_weight()
    assert weights is not None
    assert weights.tolist() == pytest.approx(slow_weights(counts, rule), rel=1e-9)
    assert float(weights.mean()) == pytest.approx(1.0)


def test_beta_of_the_effective_number() -> None:
    weights = plain(class_weight="effective_number", weight_beta=0.9).current_weight()
    assert weights is not None
    assert weights.tolist() == pytest.approx(slow_weights(COUNTS, "effective_number", 0.9), rel=1e-9)


@pytest.mark.parametrize("power", [0.0, 0.15, 1.5])
def test_power_of_the_counts(power: float) -> None:
    weights = plain(class_weight="inverse_power", weight_power=power).current_weight()
    assert weights is not None
    assert weights.tolist() == pytest.approx(slow_weights(COUNTS, "inverse_power", power=power), rel=1e-9)


@pytest.mark.parametrize(("rule", "power"), [("inverse", 1.0), ("inverse_sqrt", 0.5)])
def test_powers_with_a_name(rule: str, power: float) -> None:
    """Their power is in their name, whatever ``weight_power`` is."""
    named = plain(class_weight=rule, weight_power=3.0).current_weight()
    powered = plain(class_weight="inverse_power", weight_power=power).current_weight()
    assert named is not None and powered is not None
    assert torch.equal(named, powered)


def test_weights_of_adrw_on_cifar100() -> None:
    """The numbers of METHODS_BEYOND 8."""
    counts = [int(500 * 0.01 ** (label / 99)) for label in range(100)]
    weights = plain(counts, class_weight="inverse_power", weight_power=0.25).current_weight()
    assert weights is not None
    assert weights[[0, -1]].tolist() == pytest.approx([0.53, 1.67], abs=0.005)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_is_torch_cross_entropy(weights: list[float] | None) -> None:
    given = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    expected = F.cross_entropy(logits_of(), LABELS, weight=given)
    assert float(plain(class_weight=weights)(logits_of(), LABELS)) == pytest.approx(float(expected), rel=1e-12)


def test_divisors() -> None:
    logits, weight = logits_of(), torch.tensor([1.0, 0.0, 2.0, 1.0, 0.5, 1.0], dtype=torch.float64)
    losses = F.cross_entropy(logits, LABELS, reduction="none")
    of_image = torch.tensor(WEIGHTS, dtype=torch.float64)[LABELS]
    cases: list[tuple[dict[str, Any], dict[str, Any], Tensor]] = [
        ({}, {"avg_factor": 4}, losses.sum() / 4),
        ({}, {"weight": weight}, (weight * losses).sum() / 6),
        ({"normalize_by": "batch"}, {}, losses.sum() / 6),
        ({"loss_weight": 0.5}, {}, losses.sum() / 12),
        ({"class_weight": WEIGHTS}, {"avg_factor": 6}, (of_image * losses).sum() / of_image.sum()),
        ({"class_weight": WEIGHTS}, {"weight": weight}, (weight * of_image * losses).sum() / of_image.sum()),
        ({"class_weight": WEIGHTS, "normalize_by": "labels"}, {}, (of_image * losses).sum() / of_image.sum()),
        ({"class_weight": WEIGHTS, "normalize_by": "batch"}, {}, (of_image * losses).sum() / 6),
        ({"class_weight": WEIGHTS, "normalize_by": "batch"}, {"avg_factor": 4}, (of_image * losses).sum() / 4),
    ]
    for settings, call, expected in cases:
        value = plain(**settings)(logits, LABELS, **call)
        assert float(value) == pytest.approx(float(expected), rel=1e-12), (settings, call)


def test_a_batch_of_classes_without_weight_has_no_loss() -> None:
    loss = plain(class_weight=[0.0, 1.0, 1.0, 1.0])
    logits = logits_of(2).requires_grad_()
    value = loss(logits, torch.tensor([0, 0]))
    value.backward()
    assert float(value) == 0
    assert torch.equal(gradient(logits), torch.zeros(2, 4, dtype=torch.float64))


def test_a_class_that_an_image_has_no_share_of_does_not_count() -> None:
    """Its loss may be infinite: no prior is smaller than that of an empty class."""
    loss = PriorLoss()
    loss.class_distribution.set_counts([5, 3, 0, 0])
    logits = logits_of(2).requires_grad_()
    value = loss(logits, mixed(torch.tensor([0, 1]), torch.tensor([1, 1]), 0.3))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(gradient(logits)).all()


def test_mixtures_of_three_classes_are_refused() -> None:
    scores = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.5, 0.3, 0.2, 0.0]])
    with pytest.raises(UserInputError, match=r"PlainLoss takes images of one class or mixtures of two .* one has 3"):
        plain()(logits_of(2), scores)


def test_known_mixtures_are_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    loss, target = plain(class_weight="inverse"), mixed(LABELS, LABELS.roll(1), 0.4)
    loss(logits_of(), target)
    for name in ("__bool__", "__int__", "__float__", "item", "tolist"):
        monkeypatch.setattr(torch.Tensor, name, lambda *_: pytest.fail("a synchronisation"))
    loss(logits_of(), target)


def test_epochs_are_described_for_the_log() -> None:
    loss = plain(class_weight="inverse", reweight_from=2)
    weights = slow_weights(COUNTS, "inverse")
    assert loss.set_epoch(1, 4) == "equal class weights"
    assert loss.set_epoch(2, 4) == f"class weights from {min(weights):.3g} to {max(weights):.3g}"
    assert plain().set_epoch(0, 4) is None


def test_sizes_must_agree() -> None:
    with pytest.raises(UserInputError, match="PlainLoss has class counts of 3 classes, but logits of 4"):
        plain([3, 2, 1])(logits_of(), LABELS)
    with pytest.raises(UserInputError, match="PlainLoss has class_weight of 2 classes, but logits of 4"):
        plain(None, class_weight=[1.0, 2.0])(logits_of(), LABELS)


def test_unknown_counts_are_refused_where_they_are_needed() -> None:
    assert torch.isfinite(plain(None)(logits_of(), LABELS))
    with pytest.raises(UserInputError, match="class counts are not known yet"):
        plain(None, class_weight="inverse")(logits_of(), LABELS)


def test_given_weights_follow_the_loss_to_its_device_and_copies() -> None:
    loss = plain(class_weight=WEIGHTS)
    assert [name for name, _ in loss.named_buffers()] == ["given_weight", "class_distribution.counts"]
    twin = copy.deepcopy(loss)
    assert torch.equal(twin(logits_of(), LABELS), loss(logits_of(), LABELS))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            dict(class_weight="balanced"),
            "'balanced' is unknown; give inverse, inverse_sqrt, inverse_power, effective_number, or a list",
        ),
        (dict(class_weight=[1.0, -1.0]), "must be non-negative"),
        (dict(class_weight=[0.0, 0.0]), "must be non-negative"),
        (dict(class_weight=[[1.0]]), "must be non-negative"),
        (dict(weight_beta=1.0), r"weight_beta=1.0 must be in \[0, 1\)"),
        (dict(weight_beta=-0.1), r"weight_beta=-0.1"),
        (dict(weight_power=-0.5), "weight_power=-0.5 must be 0 .* or more"),
        (dict(weight_power=float("nan")), "weight_power=nan"),
        (dict(class_weight="inverse", reweight_from=-1), "reweight_from=-1 must be 0 or more"),
        (dict(reweight_from=160), "reweight_from=160 .* defers a class_weight; give one"),
        (dict(normalize_by="images"), "normalize_by='images' must be one of"),
    ],
)
def test_settings_without_meaning_are_refused(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        PlainLoss(**bad)


def test_a_method_must_be_defined() -> None:
    with pytest.raises(NotImplementedError, match="LongTailLoss does not define per_sample"):
        LongTailLoss()(logits_of(), LABELS)
