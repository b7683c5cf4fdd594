"""Label-aware smoothing against the formulas of MiSLAS."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import LabelAwareSmoothLoss
from lt_plugins.models.losses.label_aware_smooth_loss import smoothed_cross_entropy

COUNTS = [500, 81, 16, 1]
SHAPES = ["concave", "linear", "convex", "exp"]


def make_loss(counts=COUNTS, **kwargs):
    loss = LabelAwareSmoothLoss(**kwargs)
    loss.class_distribution.set_counts(counts)
    return loss


def batch(size=9, num_classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(size, num_classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(num_classes, (size,), generator=generator)


def slow_smoothing(counts, head, tail, shape, power=2.0):
    """METHODS 10(b), class by class; the convex form hangs from the head as in the released code."""
    most, fewest = max(counts), min(counts)
    values = []
    for n in counts:
        angle = math.pi * (n - fewest) / (2 * (most - fewest))
        values.append(
            {
                "concave": tail + (head - tail) * math.sin(angle),
                "linear": tail + (head - tail) * (n - fewest) / (most - fewest),
                "convex": head + (head - tail) * math.sin(1.5 * math.pi + angle),
                "exp": tail + (head - tail) * ((n - fewest) / (most - fewest)) ** power,
            }[shape]
        )
    return values


def slow_losses(logits, labels, smooth):
    """Cross-entropy with the smoothed label as target, image by image."""
    losses = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        log_sum = math.log(sum(map(math.exp, row)))
        eps = smooth[label]
        target = [eps / len(row) + (1 - eps) * (c == label) for c in range(len(row))]
        losses.append(sum(t * (log_sum - z) for t, z in zip(target, row, strict=True)))
    return losses


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("head", "tail"), [(0.3, 0.0), (0.4, 0.1)])
def test_equals_the_formula(shape, head, tail):
    loss = make_loss(smooth_head=head, smooth_tail=tail, shape=shape)
    logits, labels = batch()
    expected = slow_losses(logits, labels, slow_smoothing(COUNTS, head, tail, shape))
    assert float(loss(logits, labels)) == pytest.approx(sum(expected) / 9, rel=1e-12)


def test_power_bends_the_exponential_shape():
    smoothing = make_loss(smooth_head=0.4, smooth_tail=0.1, shape="exp", power=0.5).smoothing()
    assert smoothing.tolist() == pytest.approx(slow_smoothing(COUNTS, 0.4, 0.1, "exp", 0.5))


@given(st.lists(st.integers(1, 10_000), min_size=2, max_size=20), st.floats(0, 0.5), st.floats(0, 0.5))
def test_smoothing_grows_with_the_count_from_tail_to_head(counts, tail, more):
    """And the shapes lie above each other: concave, linear, convex and quadratic below."""
    smooth = {shape: make_loss(counts, smooth_head=tail + more, smooth_tail=tail, shape=shape) for shape in SHAPES}
    smooth = {shape: loss.smoothing() for shape, loss in smooth.items()}
    order = torch.tensor(counts).argsort()
    rarest, richest = order[0], order[-1]
    for values in smooth.values():
        assert float(values[rarest]) == pytest.approx(tail, abs=1e-12)
        assert float(values[richest]) == pytest.approx(tail + more if max(counts) > min(counts) else tail, abs=1e-12)
        assert (values[order].diff() >= -1e-12).all()
    assert (smooth["concave"] >= smooth["linear"] - 1e-12).all()
    for below in ("convex", "exp"):
        assert (smooth["linear"] >= smooth[below] - 1e-12).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_without_smoothing_it_is_cross_entropy(shape):
    logits, labels = batch()
    loss = make_loss(smooth_head=0.0, smooth_tail=0.0, shape=shape)
    assert float(loss(logits, labels)) == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("eps", [0.1, 1.0])
def test_equal_smoothing_is_that_of_pytorch(shape, eps):
    """So the uniform part includes the true class."""
    logits, labels = batch()
    expected = float(F.cross_entropy(logits, labels, label_smoothing=eps))
    loss = make_loss(smooth_head=eps, smooth_tail=eps, shape=shape)
    assert float(loss(logits, labels)) == pytest.approx(expected, rel=1e-12)


def test_it_is_the_form_of_the_paper_with_a_smaller_smoothing():
    """The paper gives the true class ``1 - e`` and each other ``e / (C - 1)``, with ``e = eps (C - 1) / C``."""
    logits, labels = batch()
    loss = make_loss()
    e = (loss.smoothing() * 3 / 4)[labels][:, None]
    target = F.one_hot(labels, 4) * (1 - e) + (1 - F.one_hot(labels, 4)) * e / 3
    assert float(loss(logits, labels)) == pytest.approx(float(F.cross_entropy(logits, target)), rel=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_equal_counts_smooth_as_the_tail(shape):
    logits, labels = batch()
    expected = float(F.cross_entropy(logits, labels, label_smoothing=0.1))
    loss = make_loss([9] * 4, smooth_head=0.4, smooth_tail=0.1, shape=shape)
    assert float(loss(logits, labels)) == pytest.approx(expected, rel=1e-12)


def test_unknown_counts_are_refused():
    with pytest.raises(UserInputError, match="class counts are not known yet"):
        LabelAwareSmoothLoss()(*batch())


@pytest.mark.parametrize("shape", SHAPES)
def test_an_empty_class_is_smoothed_as_the_rarest_and_disturbs_no_other(shape):
    settings = dict(smooth_head=0.4, smooth_tail=0.1, shape=shape)
    smoothing = make_loss([500, 81, 16, 0], **settings).smoothing()
    assert torch.equal(smoothing[:3], make_loss([500, 81, 16], **settings).smoothing())
    assert float(smoothing[3]) == pytest.approx(0.1)


def test_weights_and_divisor():
    logits, labels = batch()
    loss, weight = make_loss(), torch.rand(9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    losses = slow_losses(logits, labels, slow_smoothing(COUNTS, 0.3, 0.0, "concave"))
    weighted = sum(w * value for w, value in zip(weight.tolist(), losses, strict=True))
    assert float(loss(logits, labels, weight=weight)) == pytest.approx(weighted / 9, rel=1e-12)
    assert float(loss(logits, labels, weight=weight, avg_factor=4)) == pytest.approx(weighted / 4, rel=1e-12)


def test_class_weights_of_a_call():
    logits, labels = batch()
    class_weight = [0.2, 0.5, 1.0, 4.0]
    losses = slow_losses(logits, labels, slow_smoothing(COUNTS, 0.3, 0.0, "concave"))
    of_image = [class_weight[label] for label in labels.tolist()]
    weighted = sum(w * value for w, value in zip(of_image, losses, strict=True))
    loss, given = make_loss(), torch.tensor(class_weight, dtype=torch.float64)
    assert float(loss(logits, labels, class_weight=given)) == pytest.approx(weighted / sum(of_image), rel=1e-12)
    value = make_loss(normalize_by="batch")(logits, labels, avg_factor=4, class_weight=given)
    assert float(value) == pytest.approx(weighted / 4, rel=1e-12)


def test_gradients_equal_finite_differences():
    logits, labels = batch(size=4)
    smooth = torch.tensor([0.4, 0.3, 0.1, 0.0])
    assert torch.autograd.gradcheck(lambda z: smoothed_cross_entropy(z, labels, smooth), logits.requires_grad_())


def test_half_precision_does_not_reach_the_loss():
    logits, labels = batch()
    half = (30 * logits).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        value = make_loss()(half, labels)
    value.backward()
    assert value.dtype == torch.float32
    assert torch.isfinite(half.grad).all()
    assert torch.equal(value, make_loss()(half.detach().float(), labels))


def test_the_counts_travel_with_the_state():
    logits, labels = batch()
    twin = LabelAwareSmoothLoss()
    twin.load_state_dict(make_loss().state_dict())
    assert torch.equal(twin(logits, labels), make_loss()(logits, labels))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (dict(smooth_head=0.1, smooth_tail=0.2), "smooth_tail=0.2 must satisfy"),
        (dict(smooth_tail=-0.1), "smooth_tail=-0.1"),
        (dict(smooth_head=1.1), "smooth_head=1.1"),
        (dict(shape="round"), "'round' of the smoothing is unknown; choose one of concave, linear, convex, exp"),
        (dict(shape="exp", power=0), "power=0"),
    ],
)
def test_settings_without_meaning_are_refused(bad, message):
    with pytest.raises(UserInputError, match=message):
        LabelAwareSmoothLoss(**bad)


def test_mixed_labels_are_smoothed_as_both_classes():
    logits, _ = batch(size=2)
    shares = torch.tensor([[0.3, 0.0, 0.0, 0.7], [0.0, 1.0, 0.0, 0.0]], dtype=torch.float64)
    smooth = slow_smoothing(COUNTS, 0.3, 0.0, "concave")
    first, second = slow_losses(logits[[0, 0]], torch.tensor([0, 3]), smooth)
    (third,) = slow_losses(logits[1:], torch.tensor([1]), smooth)
    assert float(make_loss()(logits, shares)) == pytest.approx((0.3 * first + 0.7 * second + third) / 2, rel=1e-12)
