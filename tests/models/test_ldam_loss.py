"""LDAM against the formula of the paper, and the head that feeds it."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads import CosineClsHead
from lt_plugins.models.losses import LDAMLoss
from lt_plugins.models.losses.ldam_loss import ldam_loss

COUNTS = [500, 81, 16, 1]


def make_loss(counts=COUNTS, **kwargs):
    loss = LDAMLoss(**kwargs)
    loss.class_distribution.set_counts(counts)
    return loss


def scaled_cosines(size=7, num_classes=4, scale=30.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    cosines = torch.rand(size, num_classes, generator=generator, dtype=torch.float64) * 2 - 1
    return scale * cosines, torch.randint(num_classes, (size,), generator=generator)


def slow_ldam(logits, labels, counts, max_margin, scale, weights):
    """Eq. 10 and 12 of Cao et al., image by image."""
    largest = max(n**-0.25 for n in counts)
    total = weight_sum = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        margin = max_margin * counts[label] ** -0.25 / largest
        exponents = [z - scale * margin * (c == label) for c, z in enumerate(row)]
        loss = -math.log(math.exp(exponents[label]) / sum(map(math.exp, exponents)))
        total += weights[label] * loss
        weight_sum += weights[label]
    return total / weight_sum


@pytest.mark.parametrize(("max_margin", "scale"), [(0.5, 30.0), (0.3, 16.0), (1.2, 1.0)])
@pytest.mark.parametrize("weights", [[1.0] * 4, [0.1, 0.4, 1.5, 2.0]], ids=["equal", "weighted"])
def test_equals_the_formula(max_margin, scale, weights):
    loss = make_loss(max_margin=max_margin, scale=scale, class_weight=weights)
    logits, labels = scaled_cosines(scale=scale)
    expected = slow_ldam(logits, labels, COUNTS, max_margin, scale, weights)
    assert float(loss(logits, labels, avg_factor=3)) == pytest.approx(expected, rel=1e-12)


def test_class_weights_of_a_call():
    loss = make_loss()
    logits, labels = scaled_cosines()
    weights = [0.1, 0.4, 1.5, 2.0]
    value = loss(logits, labels, class_weight=torch.tensor(weights, dtype=torch.float64))
    assert float(value) == pytest.approx(slow_ldam(logits, labels, COUNTS, 0.5, 30.0, weights), rel=1e-12)
    assert loss.current_weight() is None, "they are of this call alone"


@given(st.lists(st.integers(1, 10_000), min_size=2, max_size=20))
def test_margins(counts):
    margins = make_loss(counts).margins()
    largest = max(n**-0.25 for n in counts)
    assert margins.tolist() == pytest.approx([0.5 * n**-0.25 / largest for n in counts])
    assert float(margins.max()) == 0.5, "the rarest class has exactly the largest margin"


def test_without_margin_and_weights_it_is_cross_entropy():
    logits, labels = scaled_cosines()
    assert float(make_loss(max_margin=0.0)(logits, labels)) == pytest.approx(float(F.cross_entropy(logits, labels)))


def test_uniform_counts_give_one_margin():
    logits, labels = scaled_cosines()
    shifted = logits - 30 * 0.5 * F.one_hot(labels, 4)
    assert float(make_loss([9] * 4)(logits, labels)) == pytest.approx(float(F.cross_entropy(shifted, labels)))


def test_unknown_counts_are_refused():
    with pytest.raises(UserInputError, match="class counts are not known yet"):
        LDAMLoss()(*scaled_cosines())


def test_an_empty_class_has_the_margin_of_the_rarest_and_disturbs_no_other():
    margins = make_loss([500, 81, 16, 0]).margins()
    assert torch.equal(margins[:3], make_loss([500, 81, 16]).margins())
    assert float(margins[3]) == 0.5


def test_gradients_equal_finite_differences():
    logits, labels = scaled_cosines(size=3, scale=2.0)
    margins = torch.tensor([0.1, 0.2, 0.3, 0.5])
    assert torch.autograd.gradcheck(lambda z: ldam_loss(z, labels, margins, 2.0), logits.requires_grad_())


@pytest.mark.parametrize("bad", [dict(max_margin=-0.1), dict(scale=0.0)])
def test_settings_without_meaning_are_refused(bad):
    with pytest.raises(UserInputError, match="max_margin"):
        LDAMLoss(**bad)


def test_mixed_labels_have_the_margins_of_both_classes():
    logits, _ = scaled_cosines(size=2)
    shares = torch.tensor([[0.3, 0.0, 0.0, 0.7], [0.0, 1.0, 0.0, 0.0]], dtype=torch.float64)
    first, second, third = (
        slow_ldam(logits[i : i + 1], torch.tensor([label]), COUNTS, 0.5, 30.0, [1.0] * 4)
        for i, label in ((0, 0), (0, 3), (1, 1))
    )
    assert float(make_loss()(logits, shares)) == pytest.approx((0.3 * first + 0.7 * second + third) / 2, rel=1e-12)


# ------------------------------------------------------------------------------------------------------- cosine head


def make_head(**kwargs):
    torch.manual_seed(0)
    head = CosineClsHead(num_classes=4, in_channels=6, **kwargs)
    head.init_weights()
    return head


def test_logits_are_scaled_cosines():
    head, features = make_head(scale=16.0), torch.randn(3, 6)
    logits = head((features,)).detach()
    for i in range(3):
        for c in range(4):
            weight = head.fc.weight[c].detach()
            cosine = float(features[i] @ weight / (features[i].norm() * weight.norm()))
            assert float(logits[i, c]) == pytest.approx(16 * cosine, rel=1e-5)


def test_weights_start_with_length_one_and_there_is_no_bias():
    head = make_head()
    assert head.fc.weight.norm(dim=1).tolist() == pytest.approx([1.0] * 4)
    assert head.fc.bias is None


def test_half_precision_does_not_reach_the_cosines():
    head, features = make_head(), torch.randn(3, 6).bfloat16()
    exact = head((features.float(),))
    with torch.autocast("cpu", torch.bfloat16):
        logits = head((features,))
    assert logits.dtype == torch.float32
    assert torch.equal(logits, exact)


def test_the_head_scales_once():
    head = make_head(loss=dict(type="LDAMLoss"))
    head.loss_module.class_distribution.set_counts(COUNTS)
    features, labels = torch.randn(5, 6), torch.tensor([0, 3, 1, 2, 0])
    samples = [DataSample().set_gt_label(int(label)) for label in labels]
    cosines = F.normalize(features) @ F.normalize(head.fc.weight).T
    expected = slow_ldam(30 * cosines.double(), labels, COUNTS, 0.5, 30.0, [1.0] * 4)
    assert head.loss((features,), samples)["loss"].item() == pytest.approx(expected, rel=1e-5)


def test_another_scale_in_the_loss_is_refused():
    with pytest.raises(UserInputError, match=r"LDAMLoss is told scale=16.0, but the head multiplies .* 30.0"):
        MODELS.build(
            dict(
                type="CosineClsHead",
                num_classes=4,
                in_channels=6,
                loss=dict(type="LDAMLoss", scale=16.0),
            )
        )
    with pytest.raises(UserInputError, match="scale=0"):
        CosineClsHead(num_classes=4, in_channels=6, scale=0)
