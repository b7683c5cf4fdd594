"""Latent categories and their covariances: the loss, and where the covariances come from."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.dist import get_rank, get_world_size

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import LatentISDALoss
from tests.gloo import run_gloo

LATENTS, CHANNELS = 4, 5


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make_loss(progress=0.5, **kwargs):
    loss = LatentISDALoss(LATENTS, CHANNELS, **{"lambda_0": 0.8, "covariance": "full", **kwargs}).double()
    loss.set_progress(progress)
    return loss


def test_equals_the_formula():
    latents, weight, bias = normal(LATENTS, CHANNELS), normal(LATENTS, CHANNELS, seed=1), normal(LATENTS, seed=2)
    factor = normal(LATENTS, CHANNELS, CHANNELS, seed=3)
    loss = make_loss()
    loss.latent_covariance.copy_(factor @ factor.mT)
    total = 0.0
    for m in range(LATENTS):
        exponents = []
        for j in range(LATENTS):
            v = weight[j] - weight[m]
            augmented = 0.4 / 2 * float(v @ loss.latent_covariance[m] @ v)
            exponents.append(float(v @ latents[m]) + float(bias[j] - bias[m]) + augmented)
        total += math.log(sum(map(math.exp, exponents)))
    assert float(loss(latents, weight, bias)) == pytest.approx(total / LATENTS, rel=1e-10)
    inputs = tuple(value.requires_grad_() for value in (latents, weight, bias))
    assert torch.autograd.gradcheck(loss, inputs)


def test_without_strength_latent_categories_are_told_apart_plainly():
    latents, weight, bias = normal(LATENTS, CHANNELS), normal(LATENTS, CHANNELS, seed=1), normal(LATENTS, seed=2)
    loss = make_loss(progress=0.0)
    loss.latent_covariance.fill_(3.0)
    expected = F.cross_entropy(F.linear(latents, weight, bias), torch.arange(LATENTS))
    assert float(loss(latents, weight, bias)) == pytest.approx(float(expected), rel=1e-12)


def test_trajectory_is_the_covariance_of_the_values_so_far():
    loss = make_loss()
    path = 10 + normal(7, LATENTS, CHANNELS)
    for step, latents in enumerate(path, start=1):
        loss.observe(normal(2, 3, CHANNELS), torch.full((2, 3, LATENTS), 0.25))  # images do not matter
        loss.update(latents)
        for m in range(LATENTS):
            seen = path[:step, m].numpy()
            np.testing.assert_allclose(loss.latent_mean[m].numpy(), seen.mean(axis=0), rtol=1e-12)
            expected = np.cov(seen, rowvar=False, ddof=0)
            np.testing.assert_allclose(loss.latent_covariance[m].numpy(), expected, rtol=1e-9, atol=1e-12)
    assert loss.latent_count.tolist() == [7] * LATENTS


def batches(number=3, images=4, places=6):
    """Image features and their weights in the latent categories."""
    return [
        (
            5 + normal(images, places, CHANNELS, seed=seed),
            normal(images, places, LATENTS, seed=50 + seed).softmax(dim=2),
        )
        for seed in range(number)
    ]


@pytest.mark.parametrize("form", ["full", "diagonal"])
def test_assigned_is_the_weighted_covariance_of_the_image_features(form):
    loss = make_loss(source="assigned", covariance=form)
    for features, assignment in batches():
        loss.observe(features, assignment)
        loss.update(torch.zeros(LATENTS, CHANNELS))
        loss.update(torch.ones(LATENTS, CHANNELS))  # nothing observed since: nothing changes
    seen = np.concatenate([features.flatten(0, 1).numpy() for features, _ in batches()])
    weights = np.concatenate([assignment.flatten(0, 1).numpy() for _, assignment in batches()])
    for m in range(LATENTS):
        mean = np.average(seen, axis=0, weights=weights[:, m])
        covariance = np.cov(seen, rowvar=False, aweights=weights[:, m], ddof=0)
        if form == "diagonal":
            covariance = np.diag(covariance)
        assert float(loss.latent_count[m]) == pytest.approx(weights[:, m].sum(), rel=1e-12)
        np.testing.assert_allclose(loss.latent_mean[m].numpy(), mean, rtol=1e-12)
        np.testing.assert_allclose(loss.latent_covariance[m].numpy(), covariance, rtol=1e-9, atol=1e-12)


def test_covariances_carry_no_gradient():
    loss = make_loss(source="assigned")
    features, assignment = (value.requires_grad_() for value in batches(1)[0])
    loss.observe(features, assignment)
    loss.update(torch.zeros(LATENTS, CHANNELS))
    assert not any(buffer.requires_grad for buffer in loss.buffers())


def all_updates():
    """Half of the images a rank."""
    loss = make_loss(source="assigned")
    share = slice(get_rank() * 4 // get_world_size(), (get_rank() + 1) * 4 // get_world_size())
    for features, assignment in batches():
        loss.observe(features[share], assignment[share])
        loss.update(torch.zeros(LATENTS, CHANNELS))
    return loss.state_dict()


def test_two_processes_know_what_one_knows(tmp_path):
    alone = all_updates()
    for rank in run_gloo(all_updates, folder=tmp_path):
        for name, value in alone.items():
            torch.testing.assert_close(rank[name], value, rtol=1e-12, atol=1e-12)
    assert float(alone["latent_count"].sum()) == pytest.approx(3 * 4 * 6)


def test_memory_is_bounded_by_default():
    """200 latent categories of 2048 channels: 3.4 GB in full."""
    with torch.device("meta"):
        sizes = {
            form: LatentISDALoss(200, 2048, covariance=form).latent_covariance.numel() * 4 for form in (None, "full")
        }
    assert sizes == {None: 200 * 2048 * 4, "full": 200 * 2048 * 2048 * 4}


def test_unknown_source():
    with pytest.raises(UserInputError, match="source='images' of the covariances must be one of"):
        LatentISDALoss(LATENTS, CHANNELS, source="images")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_iteration_that_overflows_is_left_out(value):
    loss = make_loss(source="assigned")
    (features, assignment), *_ = batches()
    loss.observe(features, assignment)
    loss.update(torch.ones(LATENTS, CHANNELS))
    before = {name: buffer.clone() for name, buffer in loss.state_dict().items()}
    features = features.clone()
    features[0, 0, 0] = value
    loss.observe(features, assignment)
    loss.update(torch.ones(LATENTS, CHANNELS))
    for name, buffer in loss.state_dict().items():
        assert torch.equal(buffer, before[name]), name
    assert float(before["latent_count"].sum()) > 0
