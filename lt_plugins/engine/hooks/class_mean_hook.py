"""First weights of a classifier: the class means of the training set."""

from __future__ import annotations

from mmengine.runner import Runner

from lt_plugins.engine.class_mean_features import class_mean_features
from lt_plugins.engine.hooks.method_hook import MethodHook
from lt_plugins.errors import UserInputError
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS


@HOOKS.register_module()
class ClassMeanHook(MethodHook):
    """Class-mean hook: starts a classifier by cosine from the mean features of the classes, before the first step.

    The means are those of what a pretrained backbone gives for the training images without augmentation. A resumed run
    keeps its weights, and so does a later stage: leave the hook out there.

    Source: Shi et al., "Long-Tail Learning with Foundation Model: Heavy Fine-Tuning Hurts" (ICML 2024), LIFT without a
    text encoder; Qi et al., "Low-Shot Learning with Imprinted Weights" (CVPR 2018).

    Args:
        batch_size (int): Images a batch of the pass. Defaults to 64.
        num_workers (int): Data-loader workers of the pass. Defaults to 2.

    Raises:
        UserInputError: If an argument is out of range, there is no test pipeline, or the head is no classifier by
            cosine.

    Examples:
        >>> custom_hooks = [dict(type='ClassMeanHook')]
    """

    def __init__(self, batch_size: int = 64, num_workers: int = 2) -> None:
        if batch_size < 1 or num_workers < 0:
            raise UserInputError(f"batch_size={batch_size} must be positive and num_workers={num_workers} 0 or more.")
        self.batch_size = batch_size
        self.num_workers = num_workers

    def before_train(self, runner: Runner) -> None:
        """Compute the means and set them, if the training begins.

        Args:
            runner (Runner): The runner of the training process.
        """
        if runner.iter > 0:
            return
        head = unwrap_model(runner.model).head
        if not hasattr(head, "start_from"):
            raise UserInputError(
                f"ClassMeanHook starts a classifier by cosine from class means, and the head is a "
                f"{type(head).__name__}; use head=dict(type='CosineClsHead'), or leave the hook out."
            )
        means = class_mean_features(
            runner,
            head.num_classes,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            needed_by=type(self).__name__,
            description="class means",
        )
        head.start_from(means)
        runner.logger.info(f"The classifier starts from the mean features of {len(means)} classes.")
