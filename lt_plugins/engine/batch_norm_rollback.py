"""Roll-back of batch-norm statistics after batches that overflow in half precision."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase


class BatchNormRollback:
    """Roll-back: restores the running statistics of all batch norms to those before an overflowed batch.

    Dynamic loss scaling skips the step of such a batch, but its forward pass has already entered the statistics, where
    a value that is not finite would stay for good. All of it stays on the device; no batch costs a synchronisation.

    Args:
        model (nn.Module): The model.
    """

    def __init__(self, model: nn.Module) -> None:
        self._groups: dict[torch.dtype, list[Tensor]] = {}
        for module in model.modules():
            if isinstance(module, _NormBase):
                for buffer in (module.running_mean, module.running_var, module.num_batches_tracked):
                    if buffer is not None:
                        self._groups.setdefault(buffer.dtype, []).append(buffer)
        self._kept = {dtype: _flatten(buffers) for dtype, buffers in self._groups.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Keep the statistics if they are finite, else restore the last finite ones; called after each iteration."""
        current = {dtype: _flatten(buffers) for dtype, buffers in self._groups.items()}
        if not current:
            return
        finite = torch.stack([values.isfinite().all() for values in current.values()]).all()
        for dtype, buffers in self._groups.items():
            kept = self._kept[dtype] = torch.where(finite, current[dtype], self._kept[dtype])
            parts = kept.split([buffer.numel() for buffer in buffers])
            torch._foreach_copy_(buffers, [part.view_as(b) for part, b in zip(parts, buffers, strict=True)])


def _flatten(buffers: list[Tensor]) -> Tensor:
    return torch.cat([buffer.flatten() for buffer in buffers])
