"""GLMC: how images and labels are mixed, its three losses, and their limits."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from lt_plugins.engine.optim_wrappers.two_passes import TwoPasses
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import ClassDistribution, LabelBatch
from lt_plugins.registry import MODELS
from tests.battery import noise
from tests.gloo import run_gloo

VIEWS = [noise(8, 3, 16, 16, seed=seed).double() for seed in (0, 1)]
LABELS = LabelBatch(torch.tensor([0, 2, 1, 1, 3, 3, 0, 1]), sample_idx=torch.arange(8))
COUNTS = [30, 10, 3, 1]


def linear(in_channels: int, out_channels: int = 8) -> dict[str, Any]:
    return {
        "type": "MLPProjector",
        "in_channels": in_channels,
        "hidden_channels": 8,
        "out_channels": out_channels,
        "num_layers": 1,
    }


def network(head: dict[str, Any] | None = None, epoch: int = 6, **changes: Any) -> Any:
    """A small network in float64, in the middle of its training."""
    torch.manual_seed(0)
    config = {
        "type": "GLMCClassifier",
        "backbone": {"type": "CIFARResNet", "depth": 20, "base_channels": 4},
        "projector": linear(16),
        "predictor": linear(8),
        "head": {"type": "GLMCHead", "num_classes": 4, "in_channels": 16, **(head or {})},
        **changes,
    }
    model = MODELS.build(copy.deepcopy(config))
    model.init_weights()
    for module in model.modules():
        if isinstance(module, ClassDistribution):
            module.set_counts(COUNTS)
    model.set_seed(5)
    for module in (model, model.head):
        module.set_epoch(epoch, 10)
    return model.double().train()


def drawn(model: Any, alpha: float = 1.0) -> tuple[float, tuple[int, int]]:
    """Share and centre of the next step."""
    generator = np.random.default_rng(np.random.SeedSequence([5, model._epoch], spawn_key=(1,)))
    share = float(generator.beta(alpha, alpha))
    return share, (int(generator.integers(16)), int(generator.integers(16)))


def slow_mix(share: float, centre: tuple[int, int], corrected: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """Both mixtures, pixel by pixel, with the shares of the classes."""
    first, second = (view.numpy() for view in VIEWS)
    labels = LABELS.one_label_each.tolist()
    half = math.ceil(16 * math.sqrt(1 - share)) // 2
    mixup, cutmix = np.zeros_like(first[:4]), np.zeros_like(first[:4])
    replaced = 0
    for row in range(16):
        for column in range(16):
            inside = all(-half <= x - middle < half for x, middle in zip((row, column), centre, strict=True))
            replaced += inside
            for i in range(4):
                mixup[i, :, row, column] = share * first[i, :, row, column] + (1 - share) * first[4 + i, :, row, column]
                cutmix[i, :, row, column] = second[4 + i if inside else i, :, row, column]
    mixtures = []
    for images, own in ((mixup, share), (cutmix, 1 - replaced / 256 if corrected else share)):
        shares = np.zeros((4, 4))
        for i in range(4):
            shares[i, labels[i]] += own
            shares[i, labels[4 + i]] += 1 - own
        mixtures.append((images, shares))
    return mixtures


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    return float(first @ second / math.sqrt((first @ first) * (second @ second)))


def slow_losses(
    model: Any, mixtures: list[tuple[np.ndarray, np.ndarray]], power: float, omega: float
) -> dict[str, float]:
    """The formulas by loops, from the pooled features that the network gives for each mixture."""
    weights = [count**-power for count in COUNTS]
    weights = [weight / (sum(weights) / 4) for weight in weights]
    parts = {"plain": 0.0, "rebalanced": 0.0}
    projected, predicted = [], []
    for images, shares in mixtures:
        with torch.no_grad():
            pooled = model.backbone(torch.from_numpy(images))[-1].mean(dim=(2, 3)).numpy()
        for name, layer in (("plain", model.head.plain), ("rebalanced", model.head.fc)):
            logits = pooled @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
            for z, target in zip(logits, shares, strict=True):
                for c in range(4):
                    factor = weights[c] if name == "rebalanced" else 1.0
                    parts[name] -= factor * target[c] * (z[c] - np.logaddexp.reduce(z)) / 4
        (g, h) = (layers.layers[0] for layers in (model.projector, model.predictor))
        projected.append(pooled @ g.weight.detach().numpy().T + g.bias.detach().numpy())
        predicted.append(projected[-1] @ h.weight.detach().numpy().T + h.bias.detach().numpy())
    pairs = [(predicted[0], projected[1]), (predicted[1], projected[0])]
    similarity = sum(cosine(p, z) for ps, zs in pairs for p, z in zip(ps, zs, strict=True)) / 4
    alpha = 1 - 0.6**2
    return {
        "loss": alpha * parts["plain"] + (1 - alpha) * parts["rebalanced"],
        "loss_consistency": -omega * similarity,
    }


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("power", [0.0, 1.2])
def test_equals_slow_loops(power: float, corrected: bool) -> None:
    loss = {"type": "WeightedCrossEntropyLoss", "class_weight": "inverse_power", "normalize_by": "batch"}
    model = network({"loss": {**loss, "weight_power": power}}, consistency_weight=3.0, corrected_share=corrected)
    reference = copy.deepcopy(model)
    mixtures = slow_mix(*drawn(model), corrected)
    losses = model.loss(VIEWS, LABELS)
    expected = slow_losses(reference, mixtures, power, omega=3.0)
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value, rel=1e-11), name


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_mixes_by_the_numbers_of_the_step(alpha: float, corrected: bool) -> None:
    model = network(mixup_alpha=alpha, corrected_share=corrected)
    views = [view.clone() for view in VIEWS]
    mixtures = model.mix(views, LABELS.one_label_each)
    for (images, scores), (expected, shares) in zip(mixtures, slow_mix(*drawn(model, alpha), corrected), strict=True):
        np.testing.assert_allclose(images.numpy(), expected, rtol=1e-13)
        np.testing.assert_allclose(scores.numpy(), shares, rtol=1e-13, atol=1e-15)
    assert all(torch.equal(view, before) for view, before in zip(views, VIEWS, strict=True)), "nothing is written into"


def test_shares_and_boxes_are_distributed_as_asked() -> None:
    """Uniform shares, and boxes that are clipped: more pixels stay than the labels say."""
    model = network(corrected_share=True)
    views = [view[[0, 4], :1] for view in VIEWS]
    mixtures = [model.mix(views, torch.tensor([0, 1])) for _ in range(1500)]
    mixup, cutmix = (np.array([float(pair[k][1][0, 0]) for pair in mixtures]) for k in (0, 1))
    np.testing.assert_allclose(np.quantile(mixup, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.05)
    assert cutmix.mean() > mixup.mean() + 0.05


def test_the_projections_get_no_gradient() -> None:
    """A consistency of the first prediction and the second projection alone moves nothing by way of the latter."""
    model = network(consistency_weight=1.0)
    model.loss(VIEWS, LABELS)["loss_consistency"].backward()
    found = [layer.grad.clone() for layer in model.projector.parameters()]
    other = network(consistency_weight=1.0)
    feats = [other.extract_feat(images) for images, _ in other.mix(VIEWS, LABELS.one_label_each)]
    projections = [other.projector(feat)[-1] for feat in feats]
    total = torch.zeros((), dtype=torch.float64)
    for prediction, target in zip(projections, [projections[1].detach(), projections[0].detach()], strict=True):
        total = total - torch.cosine_similarity(other.predictor((prediction,))[-1], target).mean()
    total.backward()
    for gradient, layer in zip(found, other.projector.parameters(), strict=True):
        torch.testing.assert_close(gradient, layer.grad)


def test_learning_moves_from_the_plain_to_the_rebalanced_classifier() -> None:
    for epoch, silent in ((0, "fc"), (10, "plain")):
        model = network(epoch=epoch)
        model.loss(VIEWS, LABELS)["loss"].backward()
        norms = {name: float(getattr(model.head, name).weight.grad.abs().sum()) for name in ("fc", "plain")}
        assert norms.pop(silent) == 0
        assert min(norms.values()) > 0
    assert network().head.alpha == pytest.approx(0.64)


def test_without_mixing_consistency_and_weights_it_is_cross_entropy_of_two_views(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = network(epoch=0, consistency_weight=0.0)
    reference = copy.deepcopy(model)
    monkeypatch.setattr(model, "draw", lambda _: (1.0, (8, 8)))
    losses = model.loss(VIEWS, LABELS)
    assert losses["loss_consistency"] == 0
    logits = [reference.head.plain(reference.extract_feat(view[:4])[-1]) for view in VIEWS]
    expected = sum(torch.nn.functional.cross_entropy(z, LABELS.one_label_each[:4]) for z in logits)
    torch.testing.assert_close(losses["loss"], expected)


def test_predicts_by_the_rebalanced_classifier() -> None:
    model = network().eval()
    expected = torch.softmax(model.head.fc(model.extract_feat(VIEWS[0])[-1]), dim=1)
    torch.testing.assert_close(model.predict(VIEWS[0], LABELS).pred_score, expected)


def test_a_head_of_its_own() -> None:
    """Mixture and consistency with balanced softmax, the "GLMC + BS" of the paper, and with any other head."""
    model = network({"loss": {"type": "BalancedSoftmaxLoss"}})
    assert torch.isfinite(model.loss(VIEWS, LABELS)["loss"])
    model = MODELS.build(
        {
            "type": "GLMCClassifier",
            "backbone": {"type": "CIFARResNet", "depth": 20, "base_channels": 4},
            "projector": linear(16),
            "predictor": linear(8),
            "head": {
                "type": "LinearHead",
                "num_classes": 4,
                "in_channels": 16,
                "loss": {"type": "WeightedCrossEntropyLoss"},
            },
        }
    )
    assert model.double().loss(VIEWS, LABELS).keys() == {"loss", "loss_consistency"}


def test_the_second_pass_of_a_step_has_the_same_mixtures() -> None:
    model = network()
    passes = TwoPasses(model, updates_batch_norm=False)
    with passes.first():
        losses = model(inputs=VIEWS, data_samples=LABELS, mode="loss")
    with passes.second() as second:
        torch.testing.assert_close(second, losses["loss"] + losses["loss_consistency"])


def train_on_part(rank_images: list[list[int]]) -> list[Tensor]:
    """Three steps on the images of this process with fixed batch norms; all weights."""
    from lt_plugins.distributed import rank_and_world_size

    rank, _ = rank_and_world_size()
    chosen = torch.tensor(rank_images[rank])
    model = network()
    torch.manual_seed(rank)  # a process of its own
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    wrapped = DistributedDataParallel(model, broadcast_buffers=False)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    labels = LabelBatch(LABELS.one_label_each[chosen])
    for _ in range(3):
        optimiser.zero_grad()
        losses = wrapped([view[chosen] for view in VIEWS], labels, mode="loss")
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
    return [parameter.detach() for parameter in model.parameters()]


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """They draw the same share and box, so that two batches of 4 images are one of 8."""
    (one,) = run_gloo(train_on_part, [[*range(8)]], folder=tmp_path / "one", world_size=1)
    two = run_gloo(train_on_part, [[0, 1, 4, 5], [2, 3, 6, 7]], folder=tmp_path / "two")
    for process in two:
        for found, expected in zip(process, one, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


def test_settings_are_checked() -> None:
    with pytest.raises(UserInputError, match=r"mixup_alpha=0 must be positive, like 1"):
        network(mixup_alpha=0)
    with pytest.raises(UserInputError, match=r"consistency_weight=-1 must be 0 or more, like 4"):
        network(consistency_weight=-1)
    with pytest.raises(UserInputError, match=r"GLMCClassifier trains on two views of each image and got a single view"):
        network().loss(VIEWS[0], LABELS)
    with pytest.raises(UserInputError, match=r"a batch of 5 images does not split into num_environments=2"):
        network().loss([view[:5] for view in VIEWS], LABELS[:5])
    head = {"type": "SupConHead", "num_classes": 4, "in_channels": 16, "loss": {"type": "SupConLoss"}}
    with pytest.raises(UserInputError, match=r"SupConLoss takes one label an image, and GLMCClassifier mixes images"):
        network(head)
