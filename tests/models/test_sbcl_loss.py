import dataclasses
import math

import pytest
import torch

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import SBCLLoss, SupConLoss
from tests.models.reference import sbcl, two_view_contrast

CLASSES = 3


def with_subclasses(contrast, parts, **settings):
    """A loss that splits each class into ``parts`` subclasses, and the subclass of each image."""
    num_images = int(contrast.candidate_samples.max()) + 1
    class_of = torch.zeros(num_images, dtype=torch.int64)
    used = contrast.candidate_samples >= 0
    class_of[contrast.candidate_samples[used]] = contrast.candidate_labels[used]
    part = torch.randint(parts, (num_images,), generator=torch.Generator().manual_seed(1))
    loss = SBCLLoss(**settings).double()
    loss.set_subclasses(class_of * parts + part)
    return loss


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("parts", [1, 2, 5])
def test_equals_the_formula(seed, parts):
    contrast = two_view_contrast(num_images=9, num_classes=CLASSES, queue=9, seed=seed)
    loss = with_subclasses(contrast, parts, temperature=0.15, beta=0.3)
    tau2 = [0.2, 0.35, 0.5]
    loss.set_class_temperatures(torch.tensor(tau2, dtype=torch.float64))
    expected = sbcl(contrast, loss.subclass, 0.15, tau2, 0.3)
    assert float(loss(contrast)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("base", [0.07, 0.15, 0.3])
def test_base_temperature_weighs_the_subclass_term_as_the_released_code(base):
    contrast = two_view_contrast(num_images=9, num_classes=CLASSES, queue=9, seed=5)
    loss = with_subclasses(contrast, 2, temperature=0.15, beta=0.3, base_temperature=base)
    tau2 = [0.2, 0.15, 0.5]
    loss.set_class_temperatures(torch.tensor(tau2, dtype=torch.float64))
    assert float(loss(contrast)) == pytest.approx(sbcl(contrast, loss.subclass, 0.15, tau2, 0.3, base), rel=1e-9)
    paper = sbcl(contrast, loss.subclass, 0.15, tau2, 0.3)
    assert (float(loss(contrast)) == pytest.approx(paper, rel=1e-9)) is (base == 0.15)


def test_fixed_class_temperature_of_imagenet_lt_as_released():
    contrast = two_view_contrast(num_images=9, num_classes=CLASSES, queue=9, seed=6)
    loss = with_subclasses(contrast, 2, temperature=0.07, beta=0.2, class_temperature=0.12)
    assert float(loss(contrast)) == pytest.approx(
        sbcl(contrast, loss.subclass, 0.07, [0.12] * CLASSES, 0.2), rel=1e-6
    )  # the default is kept in float32


@pytest.mark.parametrize("name", ["temperature", "class_temperature", "base_temperature"])
def test_temperatures_must_be_positive(name):
    with pytest.raises(UserInputError, match=f"{name}=0"):
        SBCLLoss(**{name: 0})


def test_one_subclass_a_class_and_no_class_term_give_supcon():
    contrast = two_view_contrast(num_images=9, num_classes=CLASSES)
    loss = with_subclasses(contrast, 1, beta=0.0)
    assert float(loss(contrast)) == pytest.approx(float(SupConLoss(0.1)(contrast)), rel=1e-12)


def test_a_subclass_for_each_image_and_equal_temperatures_give_info_nce_and_supcon():
    contrast = two_view_contrast(num_images=9, num_classes=CLASSES, queue=3, unused=3)
    loss = SBCLLoss(temperature=0.1, class_temperature=0.1, beta=0.7).double()
    loss.set_subclasses(torch.arange(9))
    scores = (contrast.cosine / 0.1).masked_fill(~contrast.valid, -torch.inf)
    info_nce = torch.nn.functional.cross_entropy(scores, contrast.other_view_positions)
    expected = info_nce + 0.7 * SupConLoss(0.1)(contrast)
    assert float(loss(contrast)) == pytest.approx(float(expected), rel=1e-12)


def test_temperature_of_an_average_class_until_the_hook_sets_it():
    contrast = two_view_contrast()
    loss = with_subclasses(contrast, 2)
    before = float(loss(contrast))
    loss.set_class_temperatures(torch.full((CLASSES,), 0.1 * math.e, dtype=torch.float64))
    assert before == pytest.approx(float(loss(contrast)), rel=1e-12)
    loss.set_class_temperatures(torch.full((CLASSES,), 0.1))
    assert before != pytest.approx(float(loss(contrast)), rel=1e-3)


def test_new_subclasses_relabel_the_queue_at_once():
    contrast = two_view_contrast(num_images=4, num_classes=1, queue=6, unused=0)
    loss = with_subclasses(contrast, 3)
    before = float(loss(contrast))
    relabelled = loss.subclass.roll(1)
    loss.set_subclasses(relabelled)
    after = float(loss(contrast))
    assert after == pytest.approx(sbcl(contrast, relabelled, 0.1, [0.1 * math.e], 0.25), rel=1e-12)
    assert after != pytest.approx(before, rel=1e-6)


def test_gradients_equal_finite_differences():
    base = two_view_contrast(num_images=4, num_classes=2, queue=4, unused=1)
    loss = with_subclasses(base, 2)

    def value(anchors, candidates):
        return loss(dataclasses.replace(base, anchors=anchors, candidates=candidates))

    assert torch.autograd.gradcheck(value, (base.anchors.detach().requires_grad_(), base.candidates.requires_grad_()))


def test_low_temperature_in_half_precision_stays_finite():
    contrast = two_view_contrast(dtype=torch.float32)
    anchors = contrast.anchors.detach().bfloat16().requires_grad_()
    half = dataclasses.replace(contrast, anchors=anchors, candidates=contrast.candidates.bfloat16())
    loss = with_subclasses(contrast, 2, temperature=0.01, class_temperature=0.01).float()
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(half)
    value.backward()
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert torch.isfinite(anchors.grad).all()


def test_tables_travel_in_the_state_and_bring_their_size():
    contrast = two_view_contrast()
    trained = with_subclasses(contrast, 2)
    trained.set_class_temperatures(torch.tensor([0.2, 0.3, 0.4]))
    fresh = SBCLLoss()
    assert not fresh.is_ready
    fresh.load_state_dict(trained.state_dict())
    assert fresh.is_ready
    assert torch.equal(fresh.subclass, trained.subclass)
    assert torch.equal(fresh.tau2, trained.tau2.float())
    fresh.load_state_dict(SBCLLoss().state_dict())
    assert not fresh.is_ready


def test_without_subclasses_it_says_what_to_do():
    with pytest.raises(UserInputError, match=r"ReclusterHook.*warmup_loss"):
        SBCLLoss()(two_view_contrast())


def test_a_contrast_that_does_not_know_its_images_is_refused():
    contrast = two_view_contrast()
    loss = with_subclasses(contrast, 2)
    with pytest.raises(UserInputError, match="candidate_samples"):
        loss(dataclasses.replace(contrast, candidate_samples=None))


def test_images_of_unknown_index_share_no_subclass():
    """Neither with image 0, nor with each other; as candidates they stay in the denominators."""
    contrast = two_view_contrast(num_images=6, num_classes=2, queue=6, unused=0)
    loss = with_subclasses(contrast, 2)
    unknown = contrast.candidate_samples.clone()
    unknown[-3:] = -1
    singles = contrast.candidate_samples.clone()
    singles[-3:] = torch.arange(3) + len(loss.subclass)
    value = loss(dataclasses.replace(contrast, candidate_samples=unknown))
    loss.set_subclasses(torch.cat([loss.subclass, torch.arange(3) + 100]))
    expected = sbcl(
        dataclasses.replace(contrast, candidate_samples=singles), loss.subclass, 0.1, [0.1 * math.e] * 2, 0.25
    )
    assert float(value) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("bad", [dict(temperature=0), dict(class_temperature=-1), dict(beta=-0.1)])
def test_refuses_settings_without_meaning(bad):
    ((name, value),) = bad.items()
    with pytest.raises(UserInputError, match=f"{name}={value}"):
        SBCLLoss(**bad)
