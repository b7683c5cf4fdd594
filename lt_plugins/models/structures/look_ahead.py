"""Looking one step of the optimiser ahead: what a loss after that step says about what the step depends on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import grad, jvp, vjp
from torch.optim import SGD, Optimizer

from lt_plugins.distributed import mean_over_processes
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures.step_position import FollowsSteps

Parameters = dict[str, Tensor]


def meta_gradient(
    inner: Callable[[Parameters, Tensor], Tensor],
    outer: Callable[[Parameters], Tensor],
    parameters: Parameters,
    learned: Tensor,
    step: Callable[[Parameters], Parameters],
    gradients: Parameters | None = None,
) -> Tensor:
    r"""Meta-gradient: the gradient of a loss after a step of the parameters, in what the loss of that step depends on.

    .. math::
        \nabla_\psi \, L_{meta}(\theta'(\psi)), \qquad \theta'(\psi) = s\big(\nabla_\theta L(\theta, \psi)\big)

    With :math:`v = (\partial s)^\top \nabla L_{meta}(\theta')` it is the derivative of :math:`\nabla_\psi L(\theta,
    \psi)` along :math:`v` in :math:`\theta`, which a forward pass with tangents gives: no graph of second order is
    built, and what only ``inner``'s last layers know of :math:`\psi` costs nothing in the layers below. The losses of
    several processes are means over their own images, and the result is that of the mean over all.

    Args:
        inner (Callable): :math:`L(\theta, \psi)`, a scalar; differentiable twice.
        outer (Callable): :math:`L_{meta}(\theta)`, a scalar.
        parameters (dict[str, Tensor]): :math:`\theta`, without gradient.
        learned (Tensor): :math:`\psi`, without gradient.
        step (Callable): :math:`s`, from gradients to the parameters after the step, see :meth:`LooksAhead.sgd_step`.
        gradients (dict[str, Tensor], optional): :math:`\nabla_\theta L(\theta, \psi)` of this process, where a graph at
            hand gives them without a pass of their own. Defaults to None.

    Returns:
        Tensor: Of the shape of ``learned``, the same on every process.
    """
    if gradients is None:
        gradients = _gradients(lambda values: inner(values, learned), parameters)
    gradients = _shared(gradients)
    ahead, pull_back = vjp(step, gradients)[:2]
    (direction,) = pull_back(_shared(_gradients(outer, ahead)))
    result: Tensor = jvp(lambda values: grad(inner, argnums=1)(values, learned), (parameters,), (direction,))[1]
    return mean_over_processes([result])[0]


def _gradients(loss: Callable[[Parameters], Tensor], parameters: Parameters) -> Parameters:
    """Gradients of a loss by plain autograd, which frees its graph as it goes (``torch.func.grad`` builds another)."""
    leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
    with torch.enable_grad():
        values = torch.autograd.grad(loss(leaves), list(leaves.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(leaves, values, strict=True))


def _shared(gradients: Parameters) -> Parameters:
    return dict(zip(gradients, mean_over_processes(list(gradients.values())), strict=True))


class LooksAhead(FollowsSteps):
    """Mixin of modules that look one step of the optimiser ahead; ``MetaStepHook`` names the optimiser.

    The step is that of SGD at its learning rate of the moment. The optimiser is no part of the module: it is in no
    ``state_dict``, copy or pickle of it.

    Attributes:
        extra_labels (str): What the module learns from the images of the meta set, for the log.
    """

    needs_hook: ClassVar[dict[str, Any]] = {"type": "MetaStepHook"}
    extra_labels: ClassVar[str]
    _optimizer: _Reference | None = None

    def set_optimizer(self, optimizer: Optimizer) -> None:
        """Name the optimiser that trains the parameters; ``MetaStepHook`` does, or a loop of your own.

        Args:
            optimizer (Optimizer): One of the class ``torch.optim.SGD``.

        Raises:
            UserInputError: If it is another one, or ascends.
        """
        if not isinstance(optimizer, SGD) or any(group["maximize"] for group in optimizer.param_groups):
            raise UserInputError(
                f"{type(self).__name__} looks one step of SGD ahead, and the optimiser is {type(optimizer).__name__}"
                f"{'(maximize=True)' * isinstance(optimizer, SGD)}; set optim_wrapper.optimizer.type='SGD'."
            )
        self._optimizer = _Reference(optimizer)

    def sgd_step(
        self, parameters: dict[str, nn.Parameter], momentum: bool = True
    ) -> Callable[[Parameters], Parameters]:
        """The step that the optimiser would take with given gradients; it takes none.

        Args:
            parameters (dict[str, nn.Parameter]): Those that are stepped, by name.
            momentum (bool): Whether momentum and weight decay are in the step, as in the optimiser's own. Defaults to
                True.

        Returns:
            Callable: From gradients by name to parameters after the step; differentiable.

        Raises:
            UserInputError: If the optimiser is unknown, or does not train a parameter.
        """
        optimizer = None if self._optimizer is None else self._optimizer.target
        if optimizer is None:
            raise UserInputError(
                f"{type(self).__name__} does not know the optimiser whose step it looks ahead: add "
                "dict(type='MetaStepHook') to custom_hooks, or call set_optimizer(optimizer)."
            )
        groups = {parameter: group for group in optimizer.param_groups for parameter in group["params"]}
        for name, parameter in parameters.items():
            if parameter not in groups:
                raise UserInputError(f"the optimiser does not train {name}, whose step is looked ahead.")
        return partial(_step, parameters, groups, optimizer.state if momentum else None)


class _Reference:
    """The optimiser, which copies and pickles of a model leave behind."""

    def __init__(self, target: Optimizer | None = None) -> None:
        self.target = target

    def __reduce__(self) -> tuple[type[_Reference], tuple[()]]:
        return _Reference, ()


def _step(
    parameters: dict[str, nn.Parameter], groups: dict[nn.Parameter, dict], state: dict | None, gradients: Parameters
) -> Parameters:
    """Parameters after a step of SGD with these gradients; without its state after one of plain gradient descent."""
    ahead = {}
    for name, gradient in gradients.items():
        group, value = groups[parameters[name]], parameters[name].detach()
        if state is not None:
            gradient = gradient + group["weight_decay"] * value
            if group["momentum"]:
                velocity = state.get(parameters[name], {}).get("momentum_buffer")
                if velocity is None:
                    velocity = gradient
                else:
                    velocity = group["momentum"] * velocity + (1 - group["dampening"]) * gradient
                gradient = gradient + group["momentum"] * velocity if group["nesterov"] else velocity
        ahead[name] = value - group["lr"] * gradient
    return ahead


def trained_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters of a module that ask for a gradient, by name.

    Args:
        module (nn.Module): The module.
    """
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def detached(parameters: dict[str, nn.Parameter]) -> Parameters:
    """Values of parameters in float32 (or float64, if they are), without gradient.

    Args:
        parameters (dict[str, nn.Parameter]): By name.
    """
    return {
        name: parameter.detach().to(torch.promote_types(parameter.dtype, torch.float32))
        for name, parameter in parameters.items()
    }
