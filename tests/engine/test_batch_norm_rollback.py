"""Running statistics without batches that overflowed."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from lt_plugins.engine.batch_norm_rollback import BatchNormRollback


def model() -> nn.Sequential:
    """Batch norms of several kinds, one of which averages over all batches."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.BatchNorm2d(3, momentum=None), nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.InstanceNorm2d(4)
    ).append(nn.BatchNorm2d(4, track_running_stats=False))


def statistics(net: nn.Sequential) -> dict[str, torch.Tensor]:
    return copy.deepcopy(dict(net.named_buffers()))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_batch_that_overflows_leaves_no_trace(value: float) -> None:
    net, batch = model(), torch.randn(4, 3, 5, 5)
    rollback = BatchNormRollback(net)
    net(batch)
    expected = statistics(net)
    rollback.update()
    for name, buffer in net.named_buffers():
        assert torch.equal(buffer, expected[name]), "a finite batch stays"
    overflowed = batch.clone()
    overflowed[1, 2, 0, 0] = value
    net(overflowed)
    assert not net.get_buffer("0.running_var").isfinite().all()
    rollback.update()
    for name, buffer in net.named_buffers():
        assert torch.equal(buffer, expected[name]), name
    net(2 * batch)
    later = statistics(net)
    rollback.update()
    assert not torch.equal(later["0.running_var"], expected["0.running_var"])
    for name, buffer in net.named_buffers():
        assert torch.equal(buffer, later[name]), name


def test_a_model_without_batch_norms_is_left_alone() -> None:
    BatchNormRollback(nn.Linear(2, 2)).update()
