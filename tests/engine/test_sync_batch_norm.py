"""Batch normalisation over processes equals that of one process with all samples."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from tests.engine.cpu_sync_batch_norm import CPUSyncBatchNorm, convert_sync_batch_norm
from tests.gloo import run_gloo


def _norm(momentum: float | None) -> nn.Sequential:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(5, momentum=momentum)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return nn.Sequential(nn.Conv2d(3, 5, 1), norm, nn.Tanh()).double()


def _batches() -> list[Tensor]:
    """Two steps of nine images."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(9, 3, 4, 2, generator=generator, dtype=torch.float64) * 3 + 50 for _ in range(2)]


def _train(model: nn.Module, images: list[Tensor]) -> dict[str, Tensor]:
    """Sum of outputs, gradients of parameters and of the images, after two steps; sums, so that ranks add up."""
    results: dict[str, Tensor] = {}
    for step, batch in enumerate(images):
        batch = batch.clone().requires_grad_()
        loss = (model(batch) * torch.linspace(-1, 2, 8, dtype=torch.float64).view(4, 2)).pow(3).sum()
        loss.backward()
        assert batch.grad is not None
        results |= {f"loss{step}": loss.detach(), f"images{step}": batch.grad}
    gradients = {
        f"grad.{name}": parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None
    }
    assert len(gradients) == 4
    return results | gradients | {f"state.{name}": value for name, value in model.state_dict().items()}


def _train_shard(momentum: float | None) -> dict[str, Tensor]:
    model = convert_sync_batch_norm(_norm(momentum))
    own = slice(0, 7) if dist.get_rank() == 0 else slice(7, 9)  # uneven shards
    return _train(model, [batch[own] for batch in _batches()])


@pytest.mark.parametrize("momentum", [0.1, None])
def test_two_processes_equal_one(momentum: float | None, tmp_path: Path) -> None:
    ranks = run_gloo(_train_shard, momentum, folder=tmp_path)
    expected = _train(_norm(momentum), _batches())
    assert expected.keys() == ranks[0].keys()
    for name, value in expected.items():
        if name.startswith("state."):
            actual = ranks[0][name]
            torch.testing.assert_close(actual, ranks[1][name], rtol=0, atol=0)
        elif name.startswith("images"):
            actual = torch.cat([rank[name] for rank in ranks])
        else:
            actual = ranks[0][name] + ranks[1][name]
        torch.testing.assert_close(actual, value, msg=f"{name} differs")


def test_conversion_keeps_parameters_names_and_mode() -> None:
    inner = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3, eps=0.1))
    model = nn.Sequential(inner, nn.BatchNorm2d(4, affine=False).eval())
    parameters, buffers, names = list(model.parameters()), list(model.buffers()), list(model.state_dict())
    assert convert_sync_batch_norm(model) is model
    assert all(new is old for new, old in zip(model.parameters(), parameters, strict=True))
    assert all(new is old for new, old in zip(model.buffers(), buffers, strict=True))
    assert list(model.state_dict()) == names
    converted = inner[1]
    assert isinstance(converted, CPUSyncBatchNorm)
    assert (converted.eps, converted.training, model[1].training) == (0.1, True, False)
    convert_sync_batch_norm(model)
    assert inner[1] is converted


def test_without_processes_it_is_ordinary() -> None:
    x = torch.randn(6, 3, 2)
    plain, sync = nn.BatchNorm1d(3), CPUSyncBatchNorm(3)
    torch.testing.assert_close(sync(x), plain(x), rtol=0, atol=0)
    torch.testing.assert_close(sync.eval()(x), plain.eval()(x), rtol=0, atol=0)
    with pytest.raises(ValueError, match="at least 2 dimensions"):
        sync(torch.randn(3))
