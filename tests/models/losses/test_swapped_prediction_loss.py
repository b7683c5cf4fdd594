"""Swapped prediction: against a slow loop and mmpretrain's loss, its queue, its prototypes, two processes."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmengine.dist import get_rank, get_world_size
from mmpretrain.models.losses import SwAVLoss
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import SwappedPredictionLoss
from tests.clustering.test_sinkhorn import slow
from tests.gloo import run_gloo

DIM, PROTOTYPES, VIEWS, IMAGES = 6, 5, 4, 8


def build(**settings: Any) -> SwappedPredictionLoss:
    torch.manual_seed(0)
    return SwappedPredictionLoss(DIM, **{"num_views": VIEWS, "num_prototypes": PROTOTYPES, **settings})


def embeddings(seed: int, images: int = IMAGES, views: int = VIEWS) -> Tensor:
    """Unit rows, one view after the other."""
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(views * images, DIM, generator=generator, dtype=torch.float64), dim=1)


def slow_loss(rows: Tensor, prototypes: Tensor, queues: list[list[Tensor]], loss: SwappedPredictionLoss) -> float:
    """The loss by the formula; each queue holds embeddings of a view, of which all are used."""
    images = len(rows) // VIEWS
    views = [rows[place * images : (place + 1) * images] for place in range(VIEWS)]
    unit = torch.stack([row / row.norm() for row in prototypes])
    total = torch.zeros((), dtype=torch.float64)
    for source in (0, 1):
        assigned = torch.stack([*views[source], *queues[source]]) @ unit.t()
        shares = slow(assigned, loss.epsilon, loss.iterations)
        for place in range(VIEWS):
            if place == source:
                continue
            value = torch.zeros((), dtype=torch.float64)
            for i in range(images):
                powers = [math.exp(views[place][i] @ prototype / loss.temperature) for prototype in unit]
                for k in range(PROTOTYPES):
                    value -= shares[i, k] * math.log(powers[k] / sum(powers)) / images
            total += value / (VIEWS - 1)
    return float(total / 2)


def test_against_a_slow_loop() -> None:
    loss, rows = build().double(), embeddings(1)
    prototypes = loss.prototypes.weight.detach().clone()
    expected = slow_loss(rows, prototypes, [[], []], loss)
    assert loss(rows).item() == pytest.approx(expected, rel=1e-10)
    torch.testing.assert_close(loss.prototypes.weight.norm(dim=1), torch.ones(PROTOTYPES, dtype=torch.float64))


def test_a_full_queue_against_a_slow_loop() -> None:
    """Two batches of eight fill 12 places, from the second epoch on; the third batch is assigned with the last 12."""
    loss = build(queue_size=12, queue_from=1).double()
    loss(embeddings(0))
    loss.set_epoch(1, 10)
    for seed in (1, 2):
        rows = embeddings(seed)
        expected = slow_loss(rows, loss.prototypes.weight.detach(), [[], []], loss)
        assert loss(rows).item() == pytest.approx(expected, rel=1e-10), "the queue is not full before"
    rows = embeddings(3)
    older, newer = embeddings(1), embeddings(2)
    queues = [
        [*older[view * IMAGES + 4 : (view + 1) * IMAGES], *newer[view * IMAGES : (view + 1) * IMAGES]]
        for view in (0, 1)
    ]
    expected = slow_loss(rows, loss.prototypes.weight.detach(), queues, loss)
    alone = slow_loss(rows, loss.prototypes.weight.detach(), [[], []], loss)
    assert loss(rows).item() == pytest.approx(expected, rel=1e-10)
    assert abs(expected - alone) > 1e-4


def test_trains_as_mmpretrains_loss() -> None:
    """Losses and prototypes of steps without and with a queue, which there must be of whole batches."""
    own = build(queue_size=2 * IMAGES, queue_from=0, prototypes_from=0).double()
    theirs = SwAVLoss(DIM, num_crops=[2, VIEWS - 2], num_prototypes=PROTOTYPES).double()
    theirs.load_state_dict({"prototypes.weight": own.prototypes.weight})
    theirs.queue = torch.zeros(2, 2 * IMAGES, DIM, dtype=torch.float64)
    rates = [torch.optim.SGD(loss.parameters(), lr=0.1, momentum=0.9) for loss in (own, theirs)]
    for seed in range(5):
        values = []
        for loss, optimiser in zip((own, theirs), rates, strict=True):
            optimiser.zero_grad()
            rows = embeddings(seed).requires_grad_()
            value = loss(rows)
            value.backward()
            optimiser.step()
            values.append((value.detach(), rows.grad, loss.prototypes.weight.detach().clone()))
        torch.testing.assert_close(values[0], values[1], rtol=1e-9, atol=1e-12)
    assert theirs.use_queue


def test_gradient_of_embeddings() -> None:
    """The assignments are constants: those of the point, while numbers are varied."""
    loss, rows = build(temperature=0.7).double(), embeddings(1, images=3).requires_grad_()
    assigned = [slow(rows.detach()[view * 3 : (view + 1) * 3] @ unit_of(loss).t(), 0.05, 3) for view in (0, 1)]

    def by_hand(values: Tensor) -> Tensor:
        logs = (values @ unit_of(loss).t() / 0.7).log_softmax(dim=1).chunk(VIEWS)
        pairs = [(source, place) for source in (0, 1) for place in range(VIEWS) if place != source]
        return -torch.stack([(assigned[s] * logs[p]).sum() / 3 for s, p in pairs]).mean()

    assert torch.autograd.gradcheck(by_hand, rows)
    torch.testing.assert_close(loss(rows).detach(), by_hand(rows).detach())
    (gradient,) = torch.autograd.grad(loss(rows), rows)
    (expected,) = torch.autograd.grad(by_hand(rows), rows)
    torch.testing.assert_close(gradient, expected)


def unit_of(loss: SwappedPredictionLoss) -> Tensor:
    return F.normalize(loss.prototypes.weight.detach(), dim=1)


def test_prototypes_learn_from_an_epoch_on() -> None:
    loss = build(prototypes_from=2)
    states = [loss.set_epoch(epoch, 10) for epoch in range(3)]
    assert states == ["prototypes stay as they are, no queue"] * 2 + ["prototypes learn, no queue"]
    for epoch, learns in ((1, False), (2, True)):
        loss.set_epoch(epoch, 10)
        loss.zero_grad()
        loss(embeddings(1)).backward()
        gradient = loss.prototypes.weight.grad
        assert gradient is not None, "DistributedDataParallel waits for it"
        assert bool(gradient.any()) == learns


def test_state_is_that_of_the_checkpoint() -> None:
    loss = build(queue_size=8, queue_from=0)
    loss(embeddings(1))
    resumed = build(queue_size=8, queue_from=0)
    resumed.load_state_dict(loss.state_dict())
    assert torch.equal(resumed(embeddings(2)), loss(embeddings(2)))
    assert torch.equal(resumed.queue_of(1).features, loss.queue_of(1).features)


def test_batches_of_a_step_enter_the_queue_together() -> None:
    loss = build(queue_size=16, queue_from=0)
    loss.starts_step, loss.ends_step = True, False
    loss(embeddings(1))
    assert (loss.queue_of(0).labels < 0).all()
    loss.starts_step, loss.ends_step = False, True
    loss(embeddings(2))
    expected = torch.cat([embeddings(seed)[:IMAGES] for seed in (1, 2)]).float()
    torch.testing.assert_close(loss.queue_of(0).features, expected)


def test_a_batch_that_overflowed_stays_out_of_the_queue() -> None:
    loss = build(queue_size=8, queue_from=0)
    loss(embeddings(1))
    before = copy.deepcopy(loss.queues.state_dict())
    loss(embeddings(2) * torch.inf)
    for key, value in loss.queues.state_dict().items():
        assert torch.equal(value, before[key]), key


def two_steps() -> dict[str, Tensor]:
    """This rank's share of three steps, the last with a full queue."""
    loss = build(queue_size=2 * IMAGES, queue_from=0, prototypes_from=0)
    share = slice(get_rank() * IMAGES // get_world_size(), (get_rank() + 1) * IMAGES // get_world_size())
    values = []
    for seed in range(3):
        rows = embeddings(seed).float().view(VIEWS, IMAGES, DIM)[:, share].reshape(-1, DIM)
        loss.zero_grad()
        value = loss(rows)
        value.backward()
        values.append(value.detach())
    gradient = loss.prototypes.weight.grad
    assert gradient is not None
    return {"values": torch.stack(values), "gradient": gradient, "queue": loss.queue_of(1).features}


def test_two_processes_do_what_one_does(tmp_path: Path) -> None:
    alone, ranks = two_steps(), run_gloo(two_steps, folder=tmp_path)
    for name in ("values", "gradient"):
        torch.testing.assert_close((ranks[0][name] + ranks[1][name]) / 2, alone[name], rtol=1e-5, atol=1e-6)
    for rank in ranks:
        torch.testing.assert_close(rank["queue"], alone["queue"], rtol=0, atol=1e-7)
    assert float(alone["gradient"].abs().max()) > 1e-3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_views": 1}, "num_views=1 must be 2 or more"),
        ({"num_prototypes": 1}, "num_prototypes=1 must be 2 or more"),
        ({"temperature": 0.0}, "temperature=0.0 must be positive"),
        ({"epsilon": -1.0}, "epsilon=-1.0 must be positive"),
        ({"iterations": 0}, "iterations=0"),
        ({"queue_from": -1}, "queue_from=-1 and prototypes_from=1 are epochs"),
        ({"queue_size": -1}, "queue_size=-1"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        build(**settings)


def test_views_are_counted() -> None:
    with pytest.raises(UserInputError, match="9 embeddings are not those of num_views=4 views"):
        build()(embeddings(0)[:9])
