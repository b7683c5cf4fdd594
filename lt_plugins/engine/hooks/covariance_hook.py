"""Implicit augmentation: updates covariances and the strength during training."""

from __future__ import annotations

from typing import Any

from mmengine.runner import Runner
from torch import nn

from lt_plugins.engine.hooks.method_hook import MethodHook
from lt_plugins.models.covariance.semantic_augmentation import SemanticAugmentation
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS


@HOOKS.register_module()
class CovarianceHook(MethodHook):
    r"""Covariance hook: sets the ISDA strength before each iteration and updates latent covariances after it.

    The strength is :math:`\lambda = (t / T) \lambda_0` in iteration ``t`` of ``T``: covariances of the first
    iterations mean little. A head with latent categories (``update_covariance``) lets what an iteration brought enter
    its covariances, which so are complete in the checkpoint of an epoch; ``ISDALoss`` updates its own before it is
    computed. Without a loss that augments features it does nothing.

    Source: Wang et al., "Implicit Semantic Data Augmentation for Deep Networks" (NeurIPS 2019), section 3.3; LCReg,
    section 3.3.

    Config::

        custom_hooks = [dict(type='CovarianceHook')]
    """

    def before_train(self, runner: Runner) -> None:
        """Say so if there is nothing to do.

        Args:
            runner (Runner): The runner of the training process.
        """
        model = unwrap_model(runner.model)
        if not augmentations(model):
            runner.logger.info(
                f"CovarianceHook has nothing to do: no loss of this {type(model.head).__name__} augments features."
            )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:  # noqa: ARG002
        """Set the strength of this iteration.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): Unused.
            data_batch (Any): Unused.
        """
        for loss in augmentations(unwrap_model(runner.model)):
            if loss.starts_step:  # the same in all batches of an optimiser step
                loss.set_progress(runner.iter / runner.max_iters)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,  # noqa: ARG002 (mmengine's signature)
        data_batch: Any = None,  # noqa: ARG002
        outputs: dict | None = None,  # noqa: ARG002
    ) -> None:
        """Update the covariances of latent categories.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): Unused.
            data_batch (Any): Unused.
            outputs (dict, optional): Unused.
        """
        head = unwrap_model(runner.model).head
        if hasattr(head, "update_covariance"):
            head.update_covariance()


def augmentations(model: nn.Module) -> list[SemanticAugmentation]:
    """Find the losses of a model that augment features implicitly.

    Args:
        model (nn.Module): The model.
    """
    return [module for module in model.modules() if isinstance(module, SemanticAugmentation)]
