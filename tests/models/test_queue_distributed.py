"""A queue that is compared with alone: two processes with half a batch each do what one does with all of it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.dist import get_rank, get_world_size

from lt_plugins.clustering import prototypes
from tests.gloo import run_gloo
from tests.models.test_classifiers import NUM_CLASSES, batch, build

IMAGES = 8


LOSSES: dict[str, dict[str, Any]] = {
    "SBCLLoss": {"temperature": 0.07, "class_temperature": 0.12},
    # Four of the prototypes are drawn in a step, the same ones by both processes.
    "PCLLoss": {"num_clusters": (5, 11), "num_negatives": 4, "per_images": 7 * IMAGES},
}


def cluster(loss: Any, step: int) -> None:
    """Subclasses or prototypes of images with the indices 0, 7, 14, ..., other ones in each step."""
    if hasattr(loss, "set_subclasses"):
        loss.set_subclasses(torch.arange(7 * IMAGES) // (7 * (step + 1)))
    else:
        features = torch.randn(7 * IMAGES, 8, generator=torch.Generator().manual_seed(step))
        loss.set_prototypes([prototypes(features, number) for number in loss.num_clusters])


def two_steps(kind: str) -> dict[str, torch.Tensor]:
    """This rank's share of two steps, the clusters of which change between them; the losses and the queue."""
    head = dict(type="SupConHead", num_classes=NUM_CLASSES, in_channels=64, loss=dict(type=kind, **LOSSES[kind]))
    # Statistics of the batch would differ between processes; all else is compared.
    model = build(head=head, compare_batch=False, queue_size=12).eval()
    share = slice(get_rank() * IMAGES // get_world_size(), (get_rank() + 1) * IMAGES // get_world_size())
    losses = []
    for step in range(2):
        views, samples, _ = batch(IMAGES, seed=step)
        cluster(model.head.loss_module, step)
        model.zero_grad()
        loss = model.loss([view[share] for view in views], samples[share])["loss_contrast"]
        loss.backward()
        losses.append(loss.detach())
    gradient = torch.cat([p.grad.flatten() for p in model.backbone.parameters()])
    queue = model.queue
    return {
        "losses": torch.stack(losses),
        "gradient": gradient,
        "features": queue.features,
        "labels": queue.labels,
        "samples": queue.samples,
    }


@pytest.mark.parametrize("kind", LOSSES)
def test_two_processes_do_what_one_does(kind: str, tmp_path: Path) -> None:
    alone = two_steps(kind)
    ranks = run_gloo(two_steps, kind, folder=tmp_path)
    for name in ("losses", "gradient"):
        mean = (ranks[0][name] + ranks[1][name]) / 2
        torch.testing.assert_close(mean, alone[name], rtol=1e-4, atol=1e-6)
    assert float(alone["gradient"].abs().max()) > 1e-3
    for rank in ranks:
        assert torch.equal(rank["labels"], alone["labels"])
        assert torch.equal(rank["samples"], alone["samples"])
        torch.testing.assert_close(rank["features"], alone["features"], rtol=0, atol=1e-6)
    assert int((alone["labels"] >= 0).sum()) == 12
