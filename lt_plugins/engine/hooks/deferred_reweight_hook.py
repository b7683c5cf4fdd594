"""Class weights from a given epoch on."""

from __future__ import annotations

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS


@HOOKS.register_module()
class DeferredReweightHook(Hook):
    """Deferred re-weighting (DRW): equal class weights first, class-balanced ones from epoch ``start`` on.

    Writes ``class_weight (C,)`` of the head's loss before each epoch; the weights follow from the epoch and the class
    counts alone, so a resumed run has the right ones. They have mean 1, by the effective number of images of a class
    (Cui et al., CVPR 2019).

    Source: Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss" (NeurIPS 2019),
    Algorithm 1.

    Args:
        start (int): First epoch with class-balanced weights, from 0; 160 of 200 for LDAM-DRW on CIFAR. 0 re-weights
            from the beginning, as the linear stage of SBCL does.
        beta (float): Of the effective number, from 0 (equal weights) to just below 1 (inverse counts). Defaults to
            0.9999.

    Config::

        custom_hooks = [dict(type='DeferredReweightHook', start=160)]

    Raises:
        UserInputError: If ``start`` is negative, ``beta`` not in ``[0, 1)``, or the loss has no class weights.
    """

    def __init__(self, start: int, beta: float = 0.9999) -> None:
        if start < 0 or not 0 <= beta < 1:
            raise UserInputError(f"start={start} must be 0 or more and beta={beta} in [0, 1), like 0.9999.")
        self.start = start
        self.beta = beta

    def before_train(self, runner: Runner) -> None:
        """Make sure that there are weights to write.

        Args:
            runner (Runner): The runner of the training process.
        """
        self._class_weight(runner)

    def before_train_epoch(self, runner: Runner) -> None:
        """Write the weights of this epoch.

        Args:
            runner (Runner): The runner of the training process.
        """
        class_weight = self._class_weight(runner)
        if runner.epoch < self.start:
            class_weight.fill_(1.0)
            return
        weights = unwrap_model(runner.model).class_distribution.class_balanced_weights(self.beta)
        weights = weights.to(class_weight)
        if not torch.equal(class_weight, weights):
            runner.logger.info(f"Class weights from {weights.min():.3g} to {weights.max():.3g} from this epoch on.")
        class_weight.copy_(weights)

    @staticmethod
    def _class_weight(runner: Runner) -> Tensor:
        loss = getattr(getattr(unwrap_model(runner.model), "head", None), "loss_module", None)
        class_weight = getattr(loss, "class_weight", None)
        if not isinstance(class_weight, Tensor):
            raise UserInputError(
                f"DeferredReweightHook needs a loss with a buffer class_weight, and {type(loss).__name__} has none; "
                "use one such as LDAMLoss, or remove the hook from custom_hooks."
            )
        return class_weight
