"""Class temperatures of SBCL: follow the dispersion of the features of each class."""

from __future__ import annotations

from mmengine.dist import broadcast
from mmengine.runner import Runner
from torch import Tensor

from lt_plugins.clustering import class_temperatures, subclass_sizes
from lt_plugins.engine.hooks.method_hook import MethodHook
from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import SBCLLoss
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS

MODES = ("exp", "linear")


@HOOKS.register_module()
class TemperatureHook(MethodHook):
    """Temperature hook: writes ``SBCLLoss.tau2``, the temperatures of the class term, after each re-clustering.

    It reads the features of that hook's pass, so no image is computed twice; without an ``SBCLLoss`` it does nothing.

    Source: Hou et al. (ICCV 2023), Eq. 5 and 6; see :func:`lt_plugins.clustering.class_temperatures`.

    Args:
        alpha (float): Smoothing of small classes. Defaults to 10.
        mode (str): ``"exp"``, as in the paper, or ``"linear"``, as in the released code. Defaults to ``"exp"``.

    Raises:
        UserInputError: If an argument is out of range.

    Examples:
        >>> custom_hooks = [
        ...     dict(type='ReclusterHook', task=dict(type='SubclassClustering'), start=10),
        ...     dict(type='TemperatureHook'),
        ... ]
    """

    def __init__(self, alpha: float = 10.0, mode: str = "exp") -> None:
        if alpha <= 0:
            raise UserInputError(f"alpha={alpha} must be positive.")
        if mode not in MODES:
            raise UserInputError(f"mode={mode!r} must be one of {MODES}.")
        self.alpha = alpha
        self.mode = mode

    def before_train(self, runner: Runner) -> None:
        """Say so if there is nothing to do.

        Args:
            runner (Runner): The runner of the training process.
        """
        if not isinstance(getattr(unwrap_model(runner.model).head, "loss_module", None), SBCLLoss):
            runner.logger.info("TemperatureHook has nothing to do: the model has no SBCLLoss, whose tau2 it writes.")

    def after_feature_pass(self, runner: Runner, features: Tensor, labels: Tensor) -> None:
        """Compute the temperatures, the same on every rank.

        Args:
            runner (Runner): The runner of the training process.
            features (Tensor): Projections of all training images, shape ``(N, D)``.
            labels (Tensor): Their classes, int64 ``(N,)``.
        """
        model = unwrap_model(runner.model)
        loss = model.head.loss_module
        if not isinstance(loss, SBCLLoss):
            return
        num_classes = model.head.num_classes
        # The released code, which the linear form follows, leaves classes of a single subclass alone.
        split = subclass_sizes(loss.subclass, labels, num_classes).num_parts > 1 if self.mode == "linear" else None
        tau2 = class_temperatures(features, labels, num_classes, loss.temperature, self.alpha, self.mode, split)
        tau2 = tau2.to(loss.tau2)
        broadcast(tau2)
        loss.set_class_temperatures(tau2)
        runner.logger.info(
            f"Class temperatures: {float(tau2.min()):.3f} to {float(tau2.max()):.3f}, mean {float(tau2.mean()):.3f}"
        )
