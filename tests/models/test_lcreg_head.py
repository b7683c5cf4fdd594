"""LCReg's head: equations 1 to 3 and 7 by loops, how latent categories enter the prediction, and the second stage."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads import LatentPool, LCRegHead
from tests.battery import samples
from tests.models.test_reconstruction_loss import slow_loss as slow_reconstruction_loss

B, D, H, W, M, C = 3, 4, 1, 5, 6, 4
LABELS = torch.tensor([0, 3, 1])


def feature_map(seed=0):
    return torch.randn(B, D, H, W, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make_head(**kwargs):
    torch.manual_seed(0)
    head = LCRegHead(C, D, num_latents=M, **kwargs).double()
    head.init_weights()
    return head


def slow_view(head, features, temperature=1.0):
    """Weights ``(B, P, M)`` and reconstruction ``(B, P, D)``, place by place (Eq. 1 to 3)."""
    pool = head.latent_pool
    latents = [pool.encoder.weight @ latent + pool.encoder.bias for latent in pool.latents]
    weights, rebuilt = torch.zeros(B, H * W, M).double(), torch.zeros(B, H * W, D).double()
    for image in range(B):
        for place in range(H * W):
            f = features[image, :, place // W, place % W]
            similarity = [1 / (1 + math.exp(-float(f @ latent))) / temperature for latent in latents]
            total = sum(map(math.exp, similarity))
            for m in range(M):
                weights[image, place, m] = math.exp(similarity[m]) / total
                rebuilt[image, place] += weights[image, place, m] * latents[m]
    return weights, rebuilt


@pytest.mark.parametrize("temperature", [1.0, 0.1])
@torch.no_grad()
def test_equations_1_to_3(temperature):
    head = make_head(sim_temperature=temperature)
    features = feature_map()
    view = head.view_latents((features,))
    weights, rebuilt = slow_view(head, features, temperature)
    torch.testing.assert_close(view.assignment, weights, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(view.reconstruct(), rebuilt, rtol=1e-10, atol=1e-12)
    assert float(weights.max() / weights.min()) <= math.exp(1 / temperature)


@torch.no_grad()
def test_what_is_classified():
    features = feature_map()
    pooled = features.mean(dim=(2, 3))
    for fuse in ("none", "add", "concat", "recon"):
        head = make_head(fuse=fuse)
        rebuilt = slow_view(head, features)[1].mean(dim=1)
        expected = {
            "none": pooled,
            "add": pooled + rebuilt,
            "concat": torch.cat([pooled, rebuilt], dim=1),
            "recon": rebuilt,
        }[fuse]
        torch.testing.assert_close(head.pre_logits((features,)), expected, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(head((features,)), F.linear(expected, head.fc.weight, head.fc.bias))


@torch.no_grad()
def test_losses_are_those_of_eq_7():
    head = make_head(
        recon_weight=0.3, aug_weight=0.7, recon_loss=dict(temperature=0.5), aug_loss=dict(lambda_0=1.0), fuse="add"
    )
    head.aug_loss_module.set_progress(1.0)
    head.aug_loss_module.latent_covariance.copy_(torch.eye(D))
    features = feature_map()
    losses = head.loss((features,), samples(LABELS))
    assert list(losses) == ["loss_cls", "loss_recon", "loss_aug"]
    assert float(losses["loss_cls"]) == pytest.approx(float(F.cross_entropy(head((features,)), LABELS)), rel=1e-10)
    rebuilt = slow_view(head, features)[1]
    recon = slow_reconstruction_loss(rebuilt, features.flatten(2).mT, 0.5)
    assert float(losses["loss_recon"]) == pytest.approx(0.3 * recon, rel=1e-10)
    weight, latents = head.latent_fc.weight, head.latent_pool()
    quadratic = torch.stack([((weight - row) ** 2).sum(dim=1) for row in weight])  # the covariances are unit matrices
    aug = F.cross_entropy(head.latent_fc(latents) + quadratic / 2, torch.arange(M))
    assert float(losses["loss_aug"]) == pytest.approx(0.7 * float(aug), rel=1e-10)


@torch.no_grad()
def test_without_latents_it_is_a_linear_head():
    head = make_head(fuse="none", recon_weight=0, aug_weight=0)
    features = feature_map()
    linear = MODELS.build(dict(type="LinearClsHead", num_classes=C, in_channels=D)).double()
    linear.fc.load_state_dict(head.fc.state_dict())
    expected = linear.loss((features.mean(dim=(2, 3)),), samples(LABELS))["loss"]
    losses = head.loss((features,), samples(LABELS))
    assert losses.keys() == {"loss_cls"}
    assert float(losses["loss_cls"]) == pytest.approx(float(expected), rel=1e-12)


@torch.no_grad()
def test_a_single_latent_category_rebuilds_every_place_alike():
    head = LCRegHead(C, D, num_latents=1, fuse="recon").double()
    view = head.view_latents((feature_map(),))
    assert torch.equal(view.assignment, torch.ones_like(view.assignment))
    torch.testing.assert_close(view.reconstruct(), head.latent_pool().expand(B, H * W, D))


@torch.no_grad()
def test_mixed_labels_are_classified():
    head = make_head(loss=dict(type="CrossEntropyLoss", use_soft=True))
    mixed = [sample.set_gt_score(torch.tensor([0.5, 0.5, 0.0, 0.0]).double()) for sample in samples(LABELS)]
    losses = head.loss((feature_map(),), mixed)
    expected = -F.log_softmax(head((feature_map(),)), dim=1)[:, :2].mean()
    assert float(losses["loss_cls"]) == pytest.approx(float(expected), rel=1e-10)


def test_covariances_follow_the_encoded_latents():
    head = make_head()
    for _ in range(2):
        head.update_covariance()
        with torch.no_grad():
            head.latent_pool.latents.add_(1.0)
    assert head.aug_loss_module.latent_count.tolist() == [2] * M
    moved = head.latent_pool.encoder.weight.sum(dim=1)  # by which encoding moved the encoded latents
    expected = (moved[:, None] * moved / 4).expand(M, D, D)
    torch.testing.assert_close(head.aug_loss_module.latent_covariance, expected.detach(), rtol=1e-8, atol=1e-10)
    make_head(aug_weight=0).update_covariance()  # nothing to update is no error


def test_assigned_covariances_see_the_images():
    head = make_head(aug_loss=dict(source="assigned"))
    head.loss((feature_map(),), samples(LABELS))
    head.update_covariance()
    assert float(head.aug_loss_module.latent_count.sum()) == pytest.approx(B * H * W)


def test_initialisation_of_latent_parts_does_not_follow_the_classifier():
    torch.manual_seed(0)
    head = LCRegHead(C, 256, num_latents=M, init_cfg=dict(type="Normal", layer="Linear", std=100.0))
    head.init_weights()
    assert float(head.fc.weight.std()) > 50
    assert 0.5 < float(head.latent_pool.latents.norm(dim=1).mean()) < 2
    for layer in (head.latent_pool.encoder, head.latent_fc):
        assert float(layer.weight.std()) < 0.1


FROZEN = dict(
    type="FrozenBackboneClassifier",
    backbone=dict(type="CIFARResNet", depth=20),
    neck=[],
    reuse_head=True,
    head=dict(
        type="LCRegHead",
        num_classes=10,
        in_channels=64,
        num_latents=M,
        recon_weight=0,
        aug_weight=0,
        learn_scale=True,
        loss=dict(type="LabelAwareSmoothLoss"),
    ),
)


def test_second_stage_trains_classifier_and_scale_only():
    model = MODELS.build(copy.deepcopy(FROZEN)).train()
    model.head.loss_module.class_distribution.set_counts([1] * 10)
    model.init_weights()
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert sorted(trained) == ["head.fc.bias", "head.fc.weight", "head.scale"]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5, weight_decay=0.1)
    losses = model.loss(torch.randn(4, 3, 32, 32), samples(torch.tensor([0, 1, 2, 3])))
    losses["loss_cls"].backward()
    optimiser.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == set(trained)


def test_second_stage_takes_the_latent_pool_of_the_first():
    model = MODELS.build(copy.deepcopy(FROZEN))
    assert model.initialised_parts == ("backbone.", "neck.", "head.latent_pool.", "head.fc.")
    cosine = copy.deepcopy(FROZEN) | dict(reuse_head=False)
    assert MODELS.build(cosine).initialised_parts == ("backbone.", "neck.", "head.latent_pool.")


def test_scale_stays_one_in_the_first_stage():
    assert not make_head().scale.requires_grad
    assert make_head(learn_scale=True).scale.requires_grad


def test_bad_settings():
    with pytest.raises(UserInputError, match="fuse='sum' is unknown; choose one of add, concat, none, recon"):
        make_head(fuse="sum")
    with pytest.raises(UserInputError, match="must be 0 or more"):
        make_head(aug_weight=-0.1)
    with pytest.raises(UserInputError, match="num_latents=0 must be 1 or more"):
        LatentPool(0, D)
    with pytest.raises(UserInputError, match=r"reads feature maps .* remove the neck"):
        make_head()((torch.randn(B, D),))
