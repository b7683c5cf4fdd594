"""Steps of a classifier and an instance contrast of the same features with a queue: the first stage of SSD."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmengine.dist import get_rank, get_world_size
from torch import Tensor

from tests.gloo import run_gloo
from tests.models.test_classifiers import NUM_CLASSES, batch, build
from tests.models.test_distill_classifier import HEAD, network

IMAGES = 8


def ssd(**settings: Any) -> Any:
    head = dict(
        type="ContrastHead",
        num_classes=NUM_CLASSES,
        in_channels=64,
        contrast_loss=dict(type="InstanceContrastLoss"),
        **{"loss": {"type": "CrossEntropyLoss"}, **settings},
    )
    return build(head=head, compare_batch=False, queue_size=12)


def test_without_a_contrast_it_is_a_plain_network() -> None:
    """In the value of the loss and the gradient of each part that classifies."""
    model, plain = ssd(contrast_weight=0.0), network(1, head={**HEAD, "num_classes": NUM_CLASSES}).train()
    kept = plain.state_dict().keys()
    plain.load_state_dict({key: value for key, value in model.state_dict().items() if key in kept})
    views, samples, _ = batch(IMAGES)
    losses, expected = model.loss(views, samples), plain.loss(views[0], samples)
    sum(losses.values()).backward()
    expected["loss"].backward()
    assert losses["loss_classifier"].item() == expected["loss"].item()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    for name, parameter in plain.named_parameters():
        assert torch.equal(gradients[name], parameter.grad), name


def test_both_losses_reach_the_backbone_and_the_key_encoder_follows() -> None:
    gradients = []
    for settings in ({"contrast_weight": 0.0}, {}, {"loss": {"type": "CrossEntropyLoss", "loss_weight": 0.0}}):
        model = ssd(**settings)
        views, samples, labels = batch(IMAGES)
        model.loss(views, samples)  # fills the queue
        model.zero_grad()
        sum(model.loss(views, samples).values()).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.backbone.parameters()]))
        assert all(p.grad is None for p in model.key_encoder.parameters())
        assert model.queue.labels[:IMAGES].tolist()[4:] == labels.tolist()[4:]
    alone, both, contrast = gradients
    torch.testing.assert_close(both, alone + contrast, rtol=1e-3, atol=1e-5)
    assert min(float(alone.abs().max()), float(contrast.abs().max())) > 1e-3


def test_the_contrast_of_a_step_by_hand() -> None:
    """Of images whose keys and queue are known: the query meets its own key, and earlier keys of other classes."""
    model = ssd().eval()
    (first, second), samples, labels = batch(IMAGES)
    with torch.no_grad():
        model.loss((first, second), samples)
        queries, keys = model.project(model.extract_feat(first)), model.extract_projections(second)
        loss = model.loss((first, second), samples)["loss_contrast"]
    total = 0.0
    for query, own, label in zip(queries.double(), keys.double(), labels.tolist(), strict=True):
        rows = [own, *(key for key, other in zip(keys.double(), labels.tolist(), strict=True) if other != label)]
        total -= F.log_softmax(torch.stack([query @ row for row in rows]) / 0.2, dim=0)[0].item()
    assert loss.item() == pytest.approx(total / IMAGES, rel=1e-5)


def two_steps() -> dict[str, Tensor]:
    """This rank's share of two steps; the losses, the gradient and the queue."""
    model = ssd().eval()  # statistics of the batch would differ between processes
    share = slice(get_rank() * IMAGES // get_world_size(), (get_rank() + 1) * IMAGES // get_world_size())
    losses = []
    for step in range(2):
        views, samples, _ = batch(IMAGES, seed=step)
        model.zero_grad()
        parts = model.loss([view[share] for view in views], samples[share])
        sum(parts.values()).backward()
        losses += [value.detach() for value in parts.values()]
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    return {"losses": torch.stack(losses), "gradient": gradient, "queue": model.queue.features}


def test_two_processes_do_what_one_does(tmp_path: Path) -> None:
    alone = two_steps()
    ranks = run_gloo(two_steps, folder=tmp_path)
    for name in ("losses", "gradient"):
        torch.testing.assert_close((ranks[0][name] + ranks[1][name]) / 2, alone[name], rtol=1e-4, atol=1e-5)
    assert (alone["losses"][2:] > 0.1).all(), "the queue of the first step is empty"
    for rank in ranks:
        torch.testing.assert_close(rank["queue"], alone["queue"], rtol=0, atol=1e-6)
