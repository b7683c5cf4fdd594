"""MaxNorm constraint: keeps the class weights of a head within a ball during training."""

from __future__ import annotations

from typing import Any

from mmengine.runner import Runner

from lt_plugins.engine.hooks.method_hook import MethodHook
from lt_plugins.errors import UserInputError
from lt_plugins.models.heads import MaxNormHead
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS


@HOOKS.register_module()
class MaxNormHook(MethodHook):
    """MaxNorm hook: projects the class weights of a ``MaxNormHead`` back into their ball, by default after each step.

    The radius follows from the weights before the first step, and is a buffer of the head, so that a resumed run keeps
    it.

    Source: Alshammari et al., "Long-Tailed Recognition via Weight Balancing" (CVPR 2022), section 3.3. The released
    code projects once an epoch, which is ``by_epoch=True``.

    Args:
        threshold (float): Radius on the way from the smallest (0) to the largest (1) norm of a class weight. Defaults
            to 0.1.
        by_epoch (bool): Whether to project at the end of an epoch only. Defaults to False.

    Raises:
        UserInputError: If the threshold is not in [0, 1], or the head is no ``MaxNormHead``.

    Config::

        custom_hooks = [dict(type='MaxNormHook', threshold=0.1)]
    """

    def __init__(self, threshold: float = 0.1, by_epoch: bool = False) -> None:
        if not 0 <= threshold <= 1:
            raise UserInputError(f"threshold={threshold} must be in [0, 1], like 0.1.")
        self.threshold = threshold
        self.by_epoch = by_epoch

    def before_train(self, runner: Runner) -> None:
        """Set the radius, unless a resumed checkpoint has brought it.

        Args:
            runner (Runner): The runner of the training process.
        """
        head = _head_of(runner)
        if head.max_norm == 0:
            head.set_max_norm(self.threshold)
        norms = head.row_norms()
        runner.logger.info(
            f"MaxNorm: class weights of norm {norms.amin():.3g} to {norms.amax():.3g} stay within {head.max_norm:.3g}."
        )

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,  # noqa: ARG002 (mmengine's signature)
        data_batch: Any = None,  # noqa: ARG002
        outputs: dict | None = None,  # noqa: ARG002
    ) -> None:
        """Project after a step.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): Unused.
            data_batch (Any): Unused.
            outputs (dict, optional): Unused.
        """
        if not self.by_epoch:
            _head_of(runner).project_weight()

    def after_train_epoch(self, runner: Runner) -> None:
        """Project at the end of an epoch, before its checkpoint is written.

        Args:
            runner (Runner): The runner of the training process.
        """
        if self.by_epoch:
            _head_of(runner).project_weight()


def _head_of(runner: Runner) -> MaxNormHead:
    head = unwrap_model(runner.model).head
    if not isinstance(head, MaxNormHead):
        raise UserInputError(
            f"MaxNormHook keeps the weights of a MaxNormHead within a ball, and the head is a {type(head).__name__}; "
            "set model.head.type='MaxNormHead' or drop the hook."
        )
    return head
