import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

from lt_plugins.clustering import Prototypes
from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import KCLLoss, PCLLoss
from tests.models.reference import others, similarity, two_view_contrast

NUM_IMAGES = 15  # of the contrast: 9 images of the batch, 6 of the queue


def contrast_of(seed=0, dtype=torch.float64):
    return two_view_contrast(num_images=9, queue=9, seed=seed, dtype=dtype)


def random_prototypes(num_clusters, seed=0, dim=5):
    """Any clusters, directions and temperatures: a loss need not care where they come from."""
    generator = torch.Generator().manual_seed(seed)
    assignment = torch.randint(num_clusters, (NUM_IMAGES,), generator=generator)
    centroids = F.normalize(torch.randn(num_clusters, dim, generator=generator), dim=1)
    phi = torch.rand(num_clusters, generator=generator, dtype=torch.float64) + 0.1
    return Prototypes(assignment, centroids, phi, 0.0)


def with_prototypes(numbers=(3, 8), **settings):
    loss = PCLLoss(**{"num_clusters": numbers, "num_negatives": 100, "per_images": NUM_IMAGES, **settings})
    loss.set_prototypes([random_prototypes(number, seed) for seed, number in enumerate(numbers)])
    return loss


def pcl(contrast, found, temperature, drawn=None):
    """InfoNCE and ProtoNCE, one anchor after the other, with sets as the paper writes them."""
    total = 0.0
    for i in range(len(contrast.anchors)):
        key = int(contrast.other_view_positions[i])
        terms = {j: math.exp(similarity(contrast, i, j, temperature)) for j in others(contrast, i)}
        total -= math.log(terms[key] / math.fsum(terms.values()))
        for m, one in enumerate(found):
            own = int(one.assignment[contrast.anchor_samples[i]])
            negatives = set(range(len(one.phi)) if drawn is None else drawn[m].tolist()) - {own}

            def weight(s, i=i, one=one):
                dot = math.fsum(float(a) * float(b) for a, b in zip(contrast.anchors[i], one.centroids[s], strict=True))
                return math.exp(dot / float(one.phi[s]))

            ratio = weight(own) / (weight(own) + math.fsum(weight(s) for s in negatives))
            total -= math.log(ratio) / len(found)
    return total / len(contrast.anchors)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("numbers", [(4,), (3, 8), (2, 5, 11)])
def test_equals_the_formula(seed, numbers):
    contrast = contrast_of(seed)
    loss = with_prototypes(numbers, temperature=0.15)
    found = [random_prototypes(number, index) for index, number in enumerate(numbers)]
    assert float(loss(contrast).detach()) == pytest.approx(pcl(contrast, found, 0.15), rel=1e-9)


def test_only_the_drawn_prototypes_are_compared():
    contrast = contrast_of()
    loss = with_prototypes((6, 9))
    found = [random_prototypes(6, 0), random_prototypes(9, 1)]
    drawn = [torch.tensor([5, 0, 2]), torch.tensor([8, 1])]
    assert float(loss(contrast, drawn)) == pytest.approx(pcl(contrast, found, 0.2, drawn), rel=1e-9)
    assert float(loss(contrast, drawn)) < float(loss(contrast))


def test_a_draw_has_each_prototype_once_and_all_equally_often():
    loss = with_prototypes((6, 9), num_negatives=4)
    seen = torch.zeros(9)
    for epoch in range(300):
        loss.set_epoch(epoch, 300)
        one, other = loss.draw_prototypes()
        assert len(one.unique()) == len(other.unique()) == 4
        seen += other.bincount(minlength=9)
    expected = 300 * 4 / 9
    assert ((seen - expected).square().sum() / expected) < 26.1  # chi-square, p = 0.001 with 8 degrees of freedom


def test_a_draw_follows_from_seed_epoch_and_step():
    def draws(seed, epoch, repeats=False):
        loss = with_prototypes((6, 9), num_negatives=4)
        loss.set_seed(seed)
        loss.set_epoch(epoch, 10)
        found = []
        for step in range(3):
            loss.starts_step = not (repeats and step)
            found.append(torch.cat(loss.draw_prototypes()).tolist())
        return found

    assert draws(0, 1) == draws(0, 1)
    assert draws(0, 1) != draws(0, 2)
    assert draws(0, 1) != draws(1, 1)
    first, second, third = draws(0, 1)
    assert first != second != third
    assert draws(0, 1, repeats=True) == [first] * 3, "batches of one step share it"


def test_numbers_are_scaled_to_the_training_set():
    loss = PCLLoss()
    assert loss.cluster_counts(1281167) == [25000, 50000, 100000]
    assert loss.cluster_counts(115846) == [2261, 4521, 9042]
    assert loss.cluster_counts(100) == [2, 4, 8]
    assert loss.cluster_counts(3) == [2, 2, 2]
    loss = with_prototypes((12,), num_negatives=200, per_images=100 * NUM_IMAGES)
    [drawn] = loss.draw_prototypes()
    assert len(drawn) == 2
    loss = with_prototypes((12,), num_negatives=1200, per_images=100 * NUM_IMAGES)
    assert loss.draw_prototypes() == [None], "as many as there are"


def test_until_there_are_prototypes_it_is_info_nce():
    contrast = contrast_of()
    loss = PCLLoss(temperature=0.3)
    assert not loss.is_ready
    assert float(loss(contrast)) == pytest.approx(float(KCLLoss(0, temperature=0.3)(contrast)), rel=1e-12)


def test_a_prototype_for_each_image_is_info_nce_with_a_memory_of_all_images():
    """At one temperature; what is added to the InfoNCE of the two views."""
    contrast = contrast_of()
    memory = F.normalize(torch.randn(NUM_IMAGES, 5, dtype=torch.float64), dim=1)
    loss = PCLLoss(temperature=0.2, num_clusters=(NUM_IMAGES,), per_images=NUM_IMAGES).double()
    phi = torch.full((NUM_IMAGES,), 0.2, dtype=torch.float64)
    loss.set_prototypes([Prototypes(torch.arange(NUM_IMAGES), memory, phi, 1.0)])
    added = F.cross_entropy(contrast.anchors @ memory.T / 0.2, contrast.anchor_samples)
    expected = KCLLoss(0, temperature=0.2)(contrast) + added
    assert float(loss(contrast)) == pytest.approx(float(expected), rel=1e-12)


def test_one_cluster_adds_nothing_and_equal_granularities_count_once():
    contrast = contrast_of()
    info_nce = float(KCLLoss(0, temperature=0.2)(contrast))
    loss = with_prototypes((2,))
    loss.set_prototypes([random_prototypes(1)])
    assert float(loss(contrast)) == pytest.approx(info_nce, rel=1e-12)
    once, thrice = with_prototypes((7,)), with_prototypes((7, 7, 7))
    thrice.set_prototypes([random_prototypes(7)] * 3)
    assert float(thrice(contrast)) == pytest.approx(float(once(contrast)), rel=1e-12)
    assert float(once(contrast)) > info_nce


def test_labels_do_not_matter():
    contrast = contrast_of()
    loss = with_prototypes()
    used = contrast.candidate_labels >= 0
    other = dataclasses.replace(
        contrast,
        anchor_labels=torch.zeros_like(contrast.anchor_labels),
        candidate_labels=torch.where(used, 0, contrast.candidate_labels),
    )
    assert torch.equal(loss(other), loss(contrast))


def test_gradients_equal_finite_differences():
    base = two_view_contrast(num_images=4, queue=4, unused=1)
    loss = with_prototypes((3, 6))
    drawn = [torch.tensor([2, 0]), None]

    def value(anchors, candidates):
        return loss(dataclasses.replace(base, anchors=anchors, candidates=candidates), drawn)

    assert torch.autograd.gradcheck(value, (base.anchors.detach().requires_grad_(), base.candidates.requires_grad_()))


def test_low_temperature_in_half_precision_stays_finite():
    contrast = contrast_of(dtype=torch.float32)
    anchors = contrast.anchors.detach().bfloat16().requires_grad_()
    half = dataclasses.replace(contrast, anchors=anchors, candidates=contrast.candidates.bfloat16())
    loss = with_prototypes(temperature=0.01)
    for granularity in loss.granularities:
        granularity.phi.fill_(0.005)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(half)
    value.backward()
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert torch.isfinite(anchors.grad).all()


def test_prototypes_travel_in_the_state_and_bring_their_size():
    contrast = contrast_of()
    trained = with_prototypes()
    fresh = PCLLoss(num_clusters=(3, 8), num_negatives=100, per_images=NUM_IMAGES)
    fresh.load_state_dict(trained.state_dict())
    assert fresh.is_ready
    assert torch.equal(fresh(contrast), trained(contrast))
    assert len(trained.state_dict()) == 6
    fresh.set_prototypes([random_prototypes(2), random_prototypes(5)])
    assert [len(one.phi) for one in fresh.granularities] == [2, 5]
    fresh.load_state_dict(PCLLoss(num_clusters=(3, 8)).state_dict())
    assert not fresh.is_ready


def test_a_contrast_that_does_not_know_its_images_is_refused():
    with pytest.raises(UserInputError, match="lacks anchor_samples; keep 'sample_idx'"):
        with_prototypes()(dataclasses.replace(contrast_of(), anchor_samples=None))


@pytest.mark.parametrize(
    "bad",
    [
        dict(temperature=0),
        dict(num_negatives=0),
        dict(per_images=-1),
        dict(num_clusters=()),
        dict(num_clusters=(1, 4)),
    ],
)
def test_refuses_settings_without_meaning(bad):
    ((name, value),) = bad.items()
    with pytest.raises(UserInputError) as caught:
        PCLLoss(**bad)
    assert f"{name}={value}" in str(caught.value)
