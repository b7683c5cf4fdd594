import dataclasses

import pytest
import torch

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import KCLLoss, SupConLoss
from lt_plugins.models.losses.kcl_loss import draw_positives
from tests.models.reference import supcon, two_view_contrast


def test_equals_the_formula_for_the_drawn_positives():
    contrast = two_view_contrast(num_images=8, num_classes=2)
    torch.manual_seed(5)
    positives = draw_positives(contrast, 2) | contrast.other_view
    torch.manual_seed(5)
    value = KCLLoss(num_positives=2, temperature=0.2)(contrast)
    assert int(positives.sum(dim=1).min()) == 3
    assert float(value) == pytest.approx(supcon(contrast, lambda i, j: float(positives[i, j]), 0.2), rel=1e-9)


def test_given_positives_and_a_generator_repeat_a_draw():
    contrast = two_view_contrast(num_images=8, num_classes=2)
    loss = KCLLoss(num_positives=2, temperature=0.2)
    drawn = draw_positives(contrast, 2, torch.Generator().manual_seed(7))
    before = torch.get_rng_state()
    values = [loss(contrast, drawn), loss(contrast, generator=torch.Generator().manual_seed(7))]
    assert torch.equal(torch.get_rng_state(), before), "torch's own generator is left alone"
    assert float(values[0]) == float(values[1])
    positives = drawn | contrast.other_view
    assert float(values[0]) == pytest.approx(supcon(contrast, lambda i, j: float(positives[i, j]), 0.2), rel=1e-12)


@pytest.mark.parametrize("change", [lambda drawn: drawn[1:], lambda drawn: drawn.float()], ids=["shape", "type"])
def test_refuses_positives_that_do_not_fit(change):
    contrast = two_view_contrast(num_images=8, num_classes=2)
    with pytest.raises(UserInputError, match=r"positives are torch\.\w+ of shape .*, expected bool \(16, 23\)"):
        KCLLoss()(contrast, change(draw_positives(contrast, 2)))


def test_enough_positives_give_supcon():
    contrast = two_view_contrast(num_images=8, num_classes=2)
    assert float(KCLLoss(100, 0.1)(contrast)) == pytest.approx(float(SupConLoss(0.1)(contrast)), rel=1e-12)


def test_no_drawn_positive_gives_info_nce():
    contrast = two_view_contrast(num_images=4)
    scores = (contrast.cosine / 0.1).masked_fill(~contrast.valid, -torch.inf)
    expected = torch.nn.functional.cross_entropy(scores, contrast.other_view_positions)
    assert float(KCLLoss(0, 0.1)(contrast)) == pytest.approx(float(expected), rel=1e-12)


def test_draws_exactly_k_others_of_the_class_or_all_there_are():
    contrast = two_view_contrast(num_images=9, num_classes=4, queue=12)
    drawn = draw_positives(contrast, 4)
    eligible = contrast.same_class & ~contrast.other_view
    assert not (drawn & ~eligible).any()
    assert drawn.sum(dim=1).tolist() == eligible.sum(dim=1).clamp(max=4).tolist()
    assert (eligible.sum(dim=1) < 4).any()
    assert (eligible.sum(dim=1) > 4).any()


def test_every_candidate_is_drawn_equally_often():
    contrast = two_view_contrast(num_images=6, num_classes=1, unused=0)  # 17 others of the class for each anchor
    torch.manual_seed(0)
    rounds = 2000
    drawn = sum(draw_positives(contrast, 4).double() for _ in range(rounds))
    eligible = contrast.same_class & ~contrast.other_view
    expected = rounds * 4 / 17
    # Six standard deviations of a binomial.
    tolerance = 6 * (rounds * 4 / 17 * 13 / 17) ** 0.5
    assert (drawn[eligible] - expected).abs().max() < tolerance


def test_without_a_queue_of_the_class_only_the_other_view_is_left():
    """The first step: all slots of the queue are unused."""
    contrast = two_view_contrast(num_images=3, queue=4, unused=4)
    lonely = dataclasses.replace(
        contrast, anchor_labels=torch.arange(3).repeat(2), candidate_labels=torch.tensor([0, 1, 2, 0, 1, 2, *[-1] * 4])
    )
    assert not draw_positives(lonely, 6).any()
    assert torch.isfinite(KCLLoss()(lonely))


@pytest.mark.parametrize("bad", [dict(num_positives=-1), dict(temperature=0)])
def test_refuses_settings_without_meaning(bad):
    with pytest.raises(UserInputError, match=r"num_positives=.* temperature="):
        KCLLoss(**bad)
