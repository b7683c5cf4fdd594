"""A queue that is compared with alone: two processes with half a batch each do what one does with all of it."""

from pathlib import Path

import torch
from mmengine.dist import get_rank, get_world_size

from tests.gloo import run_gloo
from tests.models.test_classifiers import NUM_CLASSES, batch, build

IMAGES = 8


def two_steps() -> dict[str, torch.Tensor]:
    """This rank's share of two steps of SBCL, whose subclasses change between them; the losses and the queue."""
    head = dict(
        type="SupConHead",
        num_classes=NUM_CLASSES,
        in_channels=64,
        loss=dict(type="SBCLLoss", temperature=0.07, class_temperature=0.12),
    )
    # Statistics of the batch would differ between processes; all else is compared.
    model = build(head=head, compare_batch=False, queue_size=12).eval()
    share = slice(get_rank() * IMAGES // get_world_size(), (get_rank() + 1) * IMAGES // get_world_size())
    losses = []
    for step in range(2):
        views, samples, _ = batch(IMAGES, seed=step)
        model.head.loss_module.set_subclasses(torch.arange(7 * IMAGES) // (7 * (step + 1)))
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


def test_two_processes_do_what_one_does(tmp_path: Path) -> None:
    alone = two_steps()
    ranks = run_gloo(two_steps, folder=tmp_path)
    for name in ("losses", "gradient"):
        mean = (ranks[0][name] + ranks[1][name]) / 2
        torch.testing.assert_close(mean, alone[name], rtol=1e-4, atol=1e-6)
    assert float(alone["gradient"].abs().max()) > 1e-3
    for rank in ranks:
        assert torch.equal(rank["labels"], alone["labels"])
        assert torch.equal(rank["samples"], alone["samples"])
        torch.testing.assert_close(rank["features"], alone["features"], rtol=0, atol=1e-6)
    assert int((alone["labels"] >= 0).sum()) == 12
