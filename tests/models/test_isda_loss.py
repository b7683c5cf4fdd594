"""Implicit semantic data augmentation: the bound, its covariances, and what it must reduce to."""

import math

import pytest
import torch
import torch.nn.functional as F
from mmengine.dist import get_rank, get_world_size

from lt_plugins.errors import UserInputError
from lt_plugins.models.covariance.semantic_augmentation import augmented_cross_entropy
from lt_plugins.models.heads import ISDAHead
from lt_plugins.models.losses import ISDALoss
from tests.battery import samples
from tests.gloo import run_gloo

CLASSES, CHANNELS = 3, 4


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def problem(size=7):
    """Features, labels, weight and bias of a classifier."""
    labels = torch.randint(CLASSES, (size,), generator=torch.Generator().manual_seed(5))
    return normal(size, CHANNELS), labels, normal(CLASSES, CHANNELS, seed=1), normal(CLASSES, seed=2)


def covariances():
    factor = normal(CLASSES, CHANNELS, CHANNELS, seed=3)
    return factor @ factor.mT


def make_loss(progress=0.6, training=False, **kwargs):
    loss = ISDALoss(CLASSES, CHANNELS, **{"lambda_0": 0.5, "covariance": "full", **kwargs}).double().train(training)
    loss.set_progress(progress)
    return loss


def test_strength_and_class_weights_of_a_call():
    features, labels, weight, bias = problem()
    loss = make_loss()
    loss.class_covariance.copy_(covariances())
    class_weight = [0.5, 1.0, 3.0]
    each = [
        slow_loss(features[i : i + 1], labels[i : i + 1], weight, bias, covariances(), 0.7) for i in range(len(labels))
    ]
    of_image = [class_weight[label] for label in labels.tolist()]
    expected = sum(w * value for w, value in zip(of_image, each, strict=True)) / sum(of_image)
    value = loss(features, labels, weight, bias, strength=0.7, class_weight=torch.tensor(class_weight))
    assert float(value) == pytest.approx(expected, rel=1e-12)
    assert float(loss.strength) == 0.3, "the buffer stays"


def test_covariances_are_learned_through_a_step_of_the_classifier():
    """MetaSAug: the loss of other images after a step, differentiated by the covariances of that step."""
    features, labels, weight, bias = problem()
    loss = make_loss(training=True)
    before = loss.class_covariance.clone()

    def after_a_step(covariance):
        classifier = weight.clone().requires_grad_()
        inner = loss(features, labels, classifier, bias, strength=0.7, covariance=covariance)
        (gradient,) = torch.autograd.grad(inner, classifier, create_graph=True)
        return F.cross_entropy(F.linear(normal(5, CHANNELS, seed=9), classifier - 0.1 * gradient, bias), labels[:5])

    assert torch.autograd.gradcheck(after_a_step, (covariances().requires_grad_(),))
    assert torch.equal(loss.class_covariance, before), "the running covariances stay"


def slow_loss(features, labels, weight, bias, covariance, strength):
    """Eq. 8 of the paper, feature by feature."""
    total = 0.0
    for x, y in zip(features, labels.tolist(), strict=True):
        exponents = []
        for j in range(len(weight)):
            v = weight[j] - weight[y]
            quadratic = float(v @ covariance[y] @ v)
            exponents.append(float(v @ x) + float(bias[j] - bias[y]) + strength / 2 * quadratic)
        total += math.log(sum(map(math.exp, exponents)))
    return total / len(features)


@pytest.mark.parametrize("size", [2, 7], ids=["fewer features than classes", "more"])
@pytest.mark.parametrize("form", ["full", "diagonal"])
def test_equals_the_formula(form, size):
    features, labels, weight, bias = problem(size)
    loss = make_loss(covariance=form)
    covariance = covariances()
    variance = covariance.diagonal(dim1=1, dim2=2)
    loss.class_covariance.copy_(covariance if form == "full" else variance)
    expected = covariance if form == "full" else torch.diag_embed(variance)
    value = loss(features, labels, weight, bias)
    assert float(value) == pytest.approx(slow_loss(features, labels, weight, bias, expected, 0.3), rel=1e-10)


def test_gradient_reaches_the_classifier_through_the_bound():
    features, labels, weight, bias = problem()
    loss = make_loss()
    loss.class_covariance.copy_(covariances())
    inputs = tuple(value.requires_grad_() for value in (features, weight, bias))
    assert torch.autograd.gradcheck(lambda x, w, b: loss(x, labels, w, b), inputs)


@pytest.mark.parametrize("change", ["no strength", "no covariance"])
def test_reduces_to_cross_entropy(change):
    features, labels, weight, bias = problem()
    loss = make_loss(progress=0.0 if change == "no strength" else 1.0)
    if change == "no strength":
        loss.class_covariance.copy_(covariances())
    expected = F.cross_entropy(F.linear(features, weight, bias), labels)
    assert float(loss(features, labels, weight, bias)) == pytest.approx(float(expected), rel=1e-12)


def test_bounds_the_sampled_cross_entropy():
    """The mean over many perturbed features stays below the bound and comes closer as the perturbations shrink."""
    features, labels, weight, bias = problem(4)
    covariance = covariances()
    loss = make_loss(lambda_0=1.0)
    loss.class_covariance.copy_(covariance)
    noise = normal(40_000, 4, CHANNELS, seed=9)
    noise = torch.cat([noise, -noise])  # in pairs: what is odd in the noise cancels
    directions = torch.einsum("ncd,snd->snc", torch.linalg.cholesky(covariance)[labels], noise)
    plain = float(F.cross_entropy(F.linear(features, weight, bias), labels))
    gaps = []
    for strength in (1.0, 0.3, 0.1, 0.01, 0.001):
        logits = F.linear(features + strength**0.5 * directions, weight, bias)
        sampled = float(F.cross_entropy(logits.flatten(0, 1), labels.repeat(len(noise))))
        loss.set_progress(strength)
        bound = float(loss(features, labels, weight, bias))
        assert plain < sampled < bound
        gaps.append(bound - sampled)
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 0.02 * gaps[0]


def test_covariances_are_those_of_all_features_so_far():
    loss = make_loss(training=True)
    seen, seen_labels = [], []
    for step in range(4):
        features, labels = normal(9, CHANNELS, seed=10 + step), torch.tensor([0, 0, 1, 1, 1, 0, 1, 0, 2])
        labels = labels if step % 2 else labels.clamp(max=1)  # class 2 is absent from half of the batches
        _, _, weight, bias = problem()
        value = loss(features, labels, weight, bias)
        seen.append(features)
        seen_labels.append(labels)
        together, classes = torch.cat(seen), torch.cat(seen_labels)
        for c in range(CLASSES):
            own = together[classes == c]
            assert int(loss.class_count[c]) == len(own)
            if len(own):
                expected = torch.cov(own.T, correction=0)
                torch.testing.assert_close(loss.class_covariance[c], expected, rtol=1e-9, atol=1e-9)
        # The batch is part of the covariances that its own loss reads.
        expected = slow_loss(features, labels, weight, bias, loss.class_covariance, 0.3)
        assert float(value) == pytest.approx(expected, rel=1e-9)
    counts = loss.class_count.clone()
    loss.eval()(*problem())
    assert torch.equal(loss.class_count, counts), "evaluation does not change them"


def one_update():
    """Half of a batch a rank."""
    loss = make_loss(training=True)
    share = slice(get_rank() * 8 // get_world_size(), (get_rank() + 1) * 8 // get_world_size())
    for seed in (0, 1):
        loss.update(normal(8, CHANNELS, seed=seed)[share], (torch.arange(8) % CLASSES)[share])
    return loss.state_dict()


def test_two_processes_know_what_one_knows(tmp_path):
    alone = one_update()
    for rank in run_gloo(one_update, folder=tmp_path):
        for name, value in alone.items():
            torch.testing.assert_close(rank[name], value, rtol=1e-12, atol=1e-12)
    assert float(alone["class_count"].sum()) == 16


def test_head_hands_over_features_and_weights():
    head = ISDAHead(CLASSES, CHANNELS, loss=dict(lambda_0=1.0)).train()
    head.loss_module.set_progress(1.0)
    features, labels = normal(6, CHANNELS).float(), torch.tensor([0, 1, 2, 0, 1, 2])
    value = head.loss((features,), samples(labels))["loss"]
    covariance = head.loss_module.class_covariance
    expected = slow_loss(features, labels, head.fc.weight.detach(), head.fc.bias.detach(), covariance, 1.0)
    assert float(value) == pytest.approx(expected, rel=1e-5)
    assert float(covariance.abs().max()) > 0.1


def test_mixed_images_enter_the_covariances_and_losses_of_both_classes():
    head = ISDAHead(CLASSES, CHANNELS, loss=dict(covariance="full")).double().train()
    loss = head.loss_module
    loss.set_progress(1.0)
    features, _, _, _ = problem(size=4)
    shares = torch.tensor([[0.25, 0.75, 0.0], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0], [0.0, 0.4, 0.6]]).double()
    mixed = [sample.set_gt_score(row) for sample, row in zip(samples(torch.zeros(4)), shares, strict=True)]
    value = head.loss((features,), mixed)["loss"]
    for c in range(CLASSES):
        weight = shares[:, c]
        mean = sum(w * x for w, x in zip(weight, features, strict=True)) / weight.sum()
        spread = sum(w * torch.outer(x - mean, x - mean) for w, x in zip(weight, features, strict=True)) / weight.sum()
        torch.testing.assert_close(loss.class_mean[c], mean, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(loss.class_covariance[c], spread, rtol=1e-10, atol=1e-12)
    weight, bias = head.fc.weight.detach(), head.fc.bias.detach()
    expected = sum(
        float(shares[i, c])
        * slow_loss(features[i : i + 1], torch.tensor([c]), weight, bias, loss.class_covariance, 0.5)
        for i in range(4)
        for c in range(CLASSES)
        if shares[i, c]
    )
    assert float(value) == pytest.approx(expected / 4, rel=1e-10)


def test_bad_strength():
    with pytest.raises(UserInputError, match=r"lambda_0=-1.0 must be 0 or more"):
        ISDALoss(CLASSES, CHANNELS, lambda_0=-1.0)


def test_augmented_cross_entropy_ignores_what_is_common():
    """A constant added to all classes' quadratic forms changes nothing."""
    logits, labels = normal(5, CLASSES), torch.tensor([0, 1, 2, 0, 1])
    quadratic = normal(5, CLASSES, seed=4)
    one, other = (augmented_cross_entropy(logits, labels, quadratic + shift, 0.7) for shift in (0.0, 3.0))
    torch.testing.assert_close(one, other, rtol=1e-12, atol=0)


def overflow_of_the_last_rank(form):
    """Buffers before and after a batch of which the last rank's share overflows."""
    loss = make_loss(covariance=form, training=True)
    features, labels, weight, bias = problem()
    loss(features, labels, weight, bias)
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    if get_rank() == get_world_size() - 1:
        features[3, 1] = math.inf
    loss.update(features, labels)
    after = {name: value.clone() for name, value in loss.state_dict().items()}
    loss.update(*problem()[:2])
    return before, after, int(loss.class_count.sum())


@pytest.mark.parametrize("form", ["full", "diagonal"])
def test_a_batch_that_overflows_is_left_out(form):
    before, after, count = overflow_of_the_last_rank(form)
    for name, value in after.items():
        assert torch.equal(value, before[name]), name
    assert count == 14, "the next batch counts again"


def test_a_batch_that_overflows_in_one_process_is_left_out_in_all(tmp_path):
    for before, after, count in run_gloo(overflow_of_the_last_rank, "full", folder=tmp_path):
        for name, value in after.items():
            assert torch.equal(value, before[name]), name
        assert count == 28
