import pytest
import torch
import torch.nn.functional as F

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import PaCoLoss, SupConLoss
from lt_plugins.models.structures import ContrastBatch
from tests.models.reference import paco, random_contrast, supcon

COUNTS = [50, 10, 4, 1]


def make_paco(**kwargs):
    loss = PaCoLoss(**kwargs)
    loss.class_distribution.set_counts(COUNTS)
    return loss


@pytest.mark.parametrize(
    "settings",
    [
        dict(alpha=0.05, beta=1.0, gamma=1.0, temperature=0.2),
        dict(alpha=0.01, beta=1.0, gamma=1.0, temperature=0.05),
        dict(alpha=0.7, beta=0.3, gamma=2.0, temperature=0.5),
    ],
)
def test_paco_equals_the_formula(settings):
    contrast = random_contrast()
    logits = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    value = make_paco(**settings)(logits, contrast)
    assert float(value) == pytest.approx(paco(logits, COUNTS, contrast, **settings), rel=1e-12)


def test_paco_keeps_an_empty_class_in_the_denominator_as_released():
    contrast = random_contrast()
    logits = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    loss = PaCoLoss()
    loss.class_distribution.set_counts([50, 10, 4, 0])
    settings = dict(alpha=0.05, beta=1.0, gamma=1.0, temperature=0.2)
    assert float(loss(logits, contrast)) == pytest.approx(paco(logits, [50, 10, 4, 0], contrast, **settings), rel=1e-12)


def test_paco_without_contrast_is_balanced_softmax():
    lonely = ContrastBatch(
        anchors=F.normalize(torch.randn(5, 3), dim=1),
        anchor_labels=torch.tensor([0, 1, 2, 3, 0]),
        candidates=torch.zeros(5, 3),
        candidate_labels=torch.full((5,), -1),
        anchor_positions=torch.arange(5),
    )
    logits = torch.randn(5, 4)
    expected = F.cross_entropy(logits + torch.tensor(COUNTS).float().log(), lonely.anchor_labels)
    assert float(make_paco()(logits, lonely)) == pytest.approx(float(expected), rel=1e-5)


def test_paco_without_contrast_and_with_uniform_counts_is_cross_entropy():
    loss = PaCoLoss()
    loss.class_distribution.set_counts([7, 7, 7, 7])
    contrast = ContrastBatch(
        torch.zeros(3, 2), torch.tensor([0, 3, 1]), torch.zeros(3, 2), torch.full((3,), -1), torch.arange(3)
    )
    logits = torch.randn(3, 4)
    expected = F.cross_entropy(logits, contrast.anchor_labels)
    assert float(loss(logits, contrast)) == pytest.approx(float(expected), rel=1e-5)


def test_supcon_equals_the_formula():
    contrast = random_contrast()
    same = lambda i, j: float(contrast.anchor_labels[i] == contrast.candidate_labels[j])  # noqa: E731
    assert float(SupConLoss(0.2)(contrast)) == pytest.approx(supcon(contrast, same, 0.2), rel=1e-9)


def test_weighted_supcon_equals_the_formula_and_ignores_unused_places():
    contrast = random_contrast(seed=3)
    weights = torch.rand(6, 17, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    expected = supcon(contrast, lambda i, j: float(weights[i, j]), 0.1)
    assert float(SupConLoss(0.1)(contrast, weights)) == pytest.approx(expected, rel=1e-9)
    weights[:, -3:] = 1e6  # unused slots of the queue
    assert float(SupConLoss(0.1)(contrast, weights)) == pytest.approx(expected, rel=1e-9)


def test_weights_of_the_same_class_reduce_to_supcon():
    contrast = random_contrast(seed=5)
    weights = (contrast.anchor_labels[:, None] == contrast.candidate_labels[None, :]).double()
    assert torch.equal(SupConLoss(0.1)(contrast, weights), SupConLoss(0.1)(contrast))


def test_an_anchor_without_positives_adds_nothing():
    contrast = random_contrast(seed=6)
    weights = contrast.same_class.double()
    weights[0] = 0
    rest = supcon(contrast, lambda i, j: float(weights[i, j]), 0.1)
    assert float(SupConLoss(0.1)(contrast, weights)) == pytest.approx(rest, rel=1e-9)


@pytest.mark.parametrize("name", ["paco", "supcon"])
def test_gradients_equal_finite_differences(name):
    base = random_contrast(num_anchors=3, num_candidates=8, unused=2)
    logits = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)

    def value(anchors, candidates, logits):
        contrast = ContrastBatch(anchors, base.anchor_labels, candidates, base.candidate_labels, base.anchor_positions)
        return make_paco()(logits, contrast) if name == "paco" else SupConLoss(0.2)(contrast)

    candidates = base.candidates.clone().requires_grad_()
    assert torch.autograd.gradcheck(value, (base.anchors.detach().requires_grad_(), candidates, logits))


def test_low_temperature_in_half_precision_stays_finite():
    contrast = random_contrast(dtype=torch.float32)
    anchors = contrast.anchors.detach().bfloat16().requires_grad_()
    half = ContrastBatch(
        anchors,
        contrast.anchor_labels,
        contrast.candidates.bfloat16(),
        contrast.candidate_labels,
        contrast.anchor_positions,
    )
    logits = (100 * torch.randn(6, 4)).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        value = make_paco(temperature=0.01)(logits, half) + SupConLoss(0.01)(half)
    value.backward()
    assert value.dtype == torch.float32
    for tensor in (value, anchors.grad, logits.grad):
        assert torch.isfinite(tensor).all()


@pytest.mark.parametrize("bad", [dict(temperature=0), dict(beta=0), dict(gamma=-1), dict(alpha=-0.1)])
def test_paco_refuses_settings_without_meaning(bad):
    with pytest.raises(UserInputError, match="positive"):
        PaCoLoss(**bad)


def test_supcon_refuses_a_temperature_of_zero():
    with pytest.raises(UserInputError, match="temperature=0"):
        SupConLoss(0)
