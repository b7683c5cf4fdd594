"""Sharpness-aware minimisation, around any optimiser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import torch
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from lt_plugins.distributed import mean_over_processes, rank_and_world_size
from lt_plugins.engine.optim_wrappers.two_passes import TwoPasses
from lt_plugins.errors import UserInputError
from lt_plugins.registry import OPTIM_WRAPPERS

EPS = 1e-12  # added to the norm of the gradient


@OPTIM_WRAPPERS.register_module()
class SAMOptimWrapper(OptimWrapper):
    r"""Sharpness-aware minimisation (SAM): the step follows the gradient at the worst weights of a neighbourhood.

    .. math::
        \varepsilon = \rho \frac{g}{\|g\|_2 + 10^{-12}}, \quad g = \nabla L(w), \qquad
        w \leftarrow \mathrm{Optimiser}\big(w, \nabla L(w + \varepsilon)\big)

    The norm is one over all parameters that are trained. Weight decay is the optimiser's: it is no part of ``g`` and
    acts at ``w``. Both passes take the same batch, after Mixup and CutMix, and draw the same random numbers; queues,
    momentum encoders, covariances and, unless ``bn="legacy"``, running statistics move in the first pass alone. The
    weights come back from a copy, so that nothing of a step outlives it: a checkpoint is the optimiser's own, and a
    resumed run ends with the same bits. A step takes two forward and two backward passes; with ``rho=0`` it is the
    optimiser's own, of one.

    Several processes share the perturbation, which is that of the mean gradient, so that they equal one process with
    the whole batch; ``m_sharpness`` lets each have its own, as the paper does. Gradients are not accumulated over
    batches, and numbers are float32.

    Source: Foret et al., "Sharpness-Aware Minimization for Efficiently Improving Generalization" (ICLR 2021), Eq. 2 and
    3 and section 4.1 (m-sharpness); Rangwani et al., "Escaping Saddle Points for Effective Generalization on
    Class-Imbalanced Data" (NeurIPS 2022), for class weights, which call for a larger :math:`\rho`; Kwon et al.,
    "ASAM" (ICML 2021), for ``adaptive``.

    Args:
        optimizer (Optimizer): The optimiser that takes the step.
        rho (float): Radius :math:`\rho` of the neighbourhood, in units of the weights. Defaults to 0.05.
        phases (Sequence[dict], optional): Later radii, like ``[dict(start=160, rho=0.5)]``, each from the start of its
            epoch, from 0, on. Defaults to None: ``rho`` for the whole training.
        adaptive (bool): Whether the neighbourhood scales with the weights:
            :math:`\varepsilon = \rho\, w^2 g / \| |w| g \|`, whose radius is another quantity. Defaults to False.
        m_sharpness (bool): Whether each process perturbs by the gradient of its own images. Defaults to False.
        bn (str): ``"first_only"``, or ``"legacy"`` for running statistics that take the second pass in as well, as
            in the released codes. Defaults to ``"first_only"``.
        clip_grad (dict, optional): Clipping of the gradient that the optimiser gets, as in ``OptimWrapper``. Defaults
            to None.
        accumulative_counts (int): Must be 1. Defaults to 1.

    Raises:
        UserInputError: If an argument is out of range, or gradients are to be accumulated.

    Examples:
        >>> optim_wrapper = dict(type='SAMOptimWrapper', rho=0.2, phases=[dict(start=160, rho=0.4)],
        ...                      optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=2e-4))
    """

    passes_per_step: ClassVar[int] = 2

    def __init__(
        self,
        optimizer: Optimizer,
        rho: float = 0.05,
        phases: Sequence[dict] | None = None,
        adaptive: bool = False,
        m_sharpness: bool = False,
        bn: Literal["first_only", "legacy"] = "first_only",
        clip_grad: dict | None = None,
        accumulative_counts: int = 1,
    ) -> None:
        if accumulative_counts != 1:
            raise UserInputError(
                f"accumulative_counts={accumulative_counts}: {type(self).__name__} perturbs the weights once a batch "
                "and accumulates no gradients; leave it out, and use a larger batch or more processes."
            )
        super().__init__(optimizer, clip_grad=clip_grad)
        if bn not in ("first_only", "legacy"):
            raise UserInputError(f"bn={bn!r} must be 'first_only' or 'legacy'.")
        self._phases = [(0, float(rho)), *map(_read_phase, phases or ())]
        if any(radius < 0 for _, radius in self._phases):
            raise UserInputError(f"rho={[radius for _, radius in self._phases]} must be 0 or more, like 0.05.")
        starts = [start for start, _ in self._phases]
        if starts != sorted(set(starts)):
            raise UserInputError(f"phases start at epochs {starts[1:]}; give whole numbers above 0 that rise.")
        self.rho = self._phases[0][1]
        self.adaptive = adaptive
        self.m_sharpness = m_sharpness
        self.bn = bn
        self._passes: TwoPasses | None = None

    def set_epoch(self, epoch: int, max_epochs: int) -> str:  # noqa: ARG002 (others follow its share)
        """Set the radius of an epoch; called by ``EpochHook``.

        Args:
            epoch (int): The epoch about to start, from 0.
            max_epochs (int): Number of epochs of the training. Unused.

        Returns:
            str: The radius, for the log.
        """
        self.rho = [radius for start, radius in self._phases if start <= epoch][-1]
        return f"rho {self.rho:g}"

    def initialize_count_status(self, model: nn.Module, init_counts: int, max_counts: int) -> None:
        """Look at the model before the training begins; called by mmengine's runner.

        Args:
            model (nn.Module): The model, with its distributed wrapper if it has one.
            init_counts (int): Steps that were taken before.
            max_counts (int): Steps of the training.

        Raises:
            UserInputError: If the wrapper of the model does not hold whole weights.
        """
        if is_model_wrapper(model) and not isinstance(model, DistributedDataParallel):
            raise UserInputError(
                f"{type(self).__name__} perturbs whole weights, which {type(model).__name__} does not have in each "
                "process; use MMDistributedDataParallel (no model_wrapper_cfg)."
            )
        super().initialize_count_status(model, init_counts, max_counts)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Context of the forward pass of a step, which notes what the model is called with.

        Args:
            model (nn.Module): The model, with its distributed wrapper if it has one.
        """
        if self.rho == 0:
            with super().optim_context(model):
                yield
            return
        self._passes = TwoPasses(model, updates_batch_norm=self.bn == "legacy")
        with self._passes.first():
            yield

    def update_params(
        self, loss: Tensor, step_kwargs: dict[str, Any] | None = None, zero_kwargs: dict[str, Any] | None = None
    ) -> None:
        """Perturb the weights, compute the loss of the batch again, and take the step at the weights as they were.

        Args:
            loss (Tensor): Scalar loss of the first pass.
            step_kwargs (dict, optional): Arguments of ``optimizer.step``. Defaults to None.
            zero_kwargs (dict, optional): Arguments of ``optimizer.zero_grad``. Defaults to None.

        Raises:
            UserInputError: If the forward pass was not inside of :meth:`optim_context`.
        """
        if self.rho == 0:
            super().update_params(self.unperturbed_loss(loss), step_kwargs, zero_kwargs)
            return
        if self._passes is None:
            raise UserInputError(
                f"{type(self).__name__} needs the batch of a step again; compute the loss inside of "
                "optim_wrapper.optim_context(model)."
            )
        passes, self._passes = self._passes, None
        parameters = [p for group in self.optimizer.param_groups for p in group["params"] if p.requires_grad]
        ascended, kept = self.split_loss(loss)
        gradients = self._gradients(ascended, parameters, shared=not self.m_sharpness, again=kept is not None)
        rest = None if kept is None else self._gradients(kept, parameters, shared=True)
        with self._perturbed(parameters, gradients), passes.second() as second_loss:
            self.backward(self.descended_loss(second_loss))  # processes share these gradients
        if rest is not None:
            for parameter, gradient in zip(parameters, rest, strict=True):
                if parameter.grad is not None and gradient is not None:
                    parameter.grad.add_(gradient)
        self.step(**(step_kwargs or {}))
        self.zero_grad(**(zero_kwargs or {}))

    def split_loss(self, loss: Tensor) -> tuple[Tensor, Tensor | None]:
        """Split the loss of the first pass.

        Args:
            loss (Tensor): Scalar loss.

        Returns:
            tuple[Tensor, Tensor | None]: What the perturbation climbs, and what enters the step with its gradient at
            the weights as they are, None for nothing.
        """
        return loss, None

    def descended_loss(self, loss: Tensor) -> Tensor:
        """What of the loss of the second pass enters the step.

        Args:
            loss (Tensor): Scalar loss.
        """
        return loss

    def unperturbed_loss(self, loss: Tensor) -> Tensor:
        """What a step without perturbation descends.

        Args:
            loss (Tensor): Scalar loss.
        """
        return loss

    def _gradients(
        self, loss: Tensor, parameters: list[nn.Parameter], shared: bool, again: bool = False
    ) -> list[Tensor | None]:
        """Gradients of a loss of the first pass: the mean over the processes, or of this one; None without one."""
        gradients: list[Tensor | None] = list(
            torch.autograd.grad(loss, parameters, retain_graph=again, allow_unused=True)
        )
        if shared and rank_and_world_size()[1] > 1:
            whole = [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, parameters, strict=True)]
            gradients = [*mean_over_processes(whole)]
        return gradients

    @contextmanager
    def _perturbed(self, parameters: list[nn.Parameter], gradients: list[Tensor | None]) -> Iterator[None]:
        """Context in which the weights are perturbed along the gradients."""
        moved = [(p.detach(), g) for p, g in zip(parameters, gradients, strict=True) if g is not None]
        if not moved:
            yield
            return
        weights, directions = [weight for weight, _ in moved], [gradient for _, gradient in moved]
        kept = [weight.clone() for weight in weights]
        if self.adaptive:
            directions = [gradient * weight.abs() for weight, gradient in moved]
        # A tensor, so that nothing waits for the device.
        scale = self.rho / (torch.linalg.vector_norm(torch.stack(torch._foreach_norm(directions))) + EPS)
        if self.adaptive:
            directions = [direction * weight.abs() for weight, direction in zip(weights, directions, strict=True)]
        torch._foreach_add_(weights, torch._foreach_mul(directions, scale))
        try:
            yield
        finally:
            torch._foreach_copy_(weights, kept)


def _read_phase(phase: dict) -> tuple[int, float]:
    if set(phase) != {"start", "rho"}:
        raise UserInputError(
            f"phases: {phase!r} must be a dict of its first epoch and radius: dict(start=160, rho=0.5)."
        )
    return phase["start"], float(phase["rho"])
