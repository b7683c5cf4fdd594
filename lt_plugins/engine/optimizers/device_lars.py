"""Layer-wise adaptive rate scaling without a look at the device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from mmpretrain.engine.optimizers import LARS
from torch import Tensor, nn

from lt_plugins.registry import OPTIMIZERS


@OPTIMIZERS.register_module()
class DeviceLARS(LARS):
    r"""mmpretrain's ``LARS``, whose trust ratios stay on the device.

    Each parameter has a rate of its own, :math:`\eta \|w\| / (\|g\| + \lambda \|w\| + \epsilon)` times the learning
    rate; just this rate where one of the norms is 0 or its group says ``lars_exclude``. mmpretrain's reads both norms
    of each parameter in every step; the numbers are the same.

    Source: You et al., "Large Batch Training of Convolutional Networks" (arXiv:1708.03888), Algorithm 1.

    Config::

        optim_wrapper = dict(optimizer=dict(type='DeviceLARS', lr=4.8, momentum=0.9, weight_decay=1e-6))
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Take a step.

        Args:
            closure (Callable, optional): Evaluates the model and returns the loss.

        Returns:
            Tensor | None: What the closure returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)
        return loss

    def _update(self, parameter: nn.Parameter, gradient: Tensor, group: dict) -> None:
        decay, momentum = group["weight_decay"], group["momentum"]
        change = gradient.add(parameter, alpha=decay)
        if group.get("lars_exclude", False):
            change = change.mul_(group["lr"])
        else:
            weight_norm, grad_norm = parameter.norm(), gradient.norm()
            ratio = group["eta"] * weight_norm / (grad_norm + decay * weight_norm + self.eps)
            ratio = torch.where((weight_norm > 0) & (grad_norm > 0), ratio, 1.0)
            change = change.mul_(ratio * group["lr"])
        if momentum:
            state = self.state[parameter]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = change.clone()
            else:
                state["momentum_buffer"].mul_(momentum).add_(change, alpha=1 - group["dampening"])
            buffer = state["momentum_buffer"]
            change = change.add_(buffer, alpha=momentum) if group["nesterov"] else buffer
        parameter.sub_(change)
