"""Synchronised batch normalisation for processes on the CPU, which torch has on CUDA only."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm


class CPUSyncBatchNorm(_BatchNorm):
    """What :class:`torch.nn.SyncBatchNorm` is on CUDA, for processes that talk by gloo.

    Mean and variance are those of the batches of all processes together, however many samples each one has; gradients
    flow through the reduction. Without a process group it is ordinary batch normalisation.

    Args:
        num_features (int): Number of channels ``C`` of the input ``(B, C, ...)``.
        eps (float): Added to the variance. Defaults to 1e-5.
        momentum (float | None): Weight of the new batch in the running statistics; None averages. Defaults to 0.1.
        affine (bool): Whether there are weight and bias. Defaults to True.
        track_running_stats (bool): Whether there are running statistics. Defaults to True.
    """

    def _check_input_dim(self, x: Tensor) -> None:
        if x.dim() < 2:
            raise ValueError(f"expected an input (B, C, ...) of at least 2 dimensions, got {x.dim()}")

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x``.

        Args:
            x (Tensor): Shape ``(B, C, ...)``.

        Returns:
            Tensor: The same shape.
        """
        batch_statistics = self.training or self.running_mean is None
        if not batch_statistics or not dist.is_initialized() or dist.get_world_size() == 1:
            return super().forward(x)
        self._check_input_dim(x)
        dims = [0, *range(2, x.dim())]
        shape = [1, -1] + [1] * (x.dim() - 2)
        # Two reductions, mean first: the difference of large squares would lose digits.
        local = torch.cat([x.sum(dims), x.new_tensor([x.numel() / x.shape[1]])])  # (C + 1,)
        total = all_reduce(local)
        count = total[-1].detach()
        mean = total[:-1] / count  # (C,)
        centred = x - mean.view(shape)
        variance = all_reduce(centred.square().sum(dims)) / count  # (C,)
        self._update_running_statistics(mean.detach(), variance.detach(), count)
        output = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            output = output * self.weight.view(shape) + self.bias.view(shape)
        return output

    @torch.no_grad()
    def _update_running_statistics(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        if not self.training or self.running_mean is None:
            return
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        weight = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), weight)
        self.running_var.lerp_((variance * count / (count - 1)).to(self.running_var.dtype), weight)


def convert_sync_batch_norm(module: nn.Module) -> nn.Module:
    """Replace every batch normalisation by a :class:`CPUSyncBatchNorm`, as ``sync_bn`` of mmengine does on CUDA.

    Parameters and buffers are kept as the same objects, so an optimiser or a distributed wrapper that holds them stays
    valid, and the names in the ``state_dict`` do not change.

    Args:
        module (nn.Module): Changed in place below its root.

    Returns:
        nn.Module: ``module``, or its replacement if it is itself a batch normalisation.
    """
    if isinstance(module, _BatchNorm) and not isinstance(module, CPUSyncBatchNorm):
        new = CPUSyncBatchNorm(
            module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats
        )
        for name, value in [*module._parameters.items(), *module._buffers.items()]:
            setattr(new, name, value)
        new.training = module.training
        return new
    for name, child in module.named_children():
        converted = convert_sync_batch_norm(child)
        if converted is not child:
            setattr(module, name, converted)
    return module
