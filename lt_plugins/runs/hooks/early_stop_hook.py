"""Early stopping whose state is in the checkpoint, so that a resumed run stops where the killed one would have."""

from __future__ import annotations

from collections.abc import Mapping

from mmengine.hooks import CheckpointHook, EarlyStoppingHook
from mmengine.runner import EpochBasedTrainLoop, Runner

from lt_plugins.checks.early_stop import PATIENCE, STATE
from lt_plugins.checks.training_settings import has_validation
from lt_plugins.errors import UserInputError
from lt_plugins.registry import HOOKS


@HOOKS.register_module()
class EarlyStopHook(EarlyStoppingHook):
    """Early-stopping hook: ends a training whose metric has not risen for ``patience`` evaluations.

    mmengine's hook forgets on a resume what it has counted. This one keeps best value and count in the message hub,
    which every checkpoint holds, and an equal value is no better one. The checkpoint of an epoch is written before its
    evaluation, so a resumed run first repeats the evaluation that its checkpoint does not know of; no random number
    depends on that. All processes have the same metrics and stop together, and the epoch that was the last is saved.

    ``tools/train.py --early-stop N`` adds the hook to each stage that is evaluated.

    Args:
        monitor (str): Name of a metric of the validation. Defaults to the mean class accuracy, ``'shot/balanced'``.
        patience (int): Evaluations in a row without a better value that end the training. Defaults to 5.
        rule (str): ``'greater'`` or ``'less'``: which values are better. Defaults to ``'greater'``.
        min_delta (float): By how much a value must be better. Defaults to 0, by anything.

    Config::

        default_hooks = dict(early_stop=dict(type='EarlyStopHook', patience=10))

    Raises:
        UserInputError: If ``patience`` is not positive, or the run counts iterations or is not evaluated.
    """

    # After SafeCheckpointHook, which has to know its folder before an evaluation.
    priority = "LOWEST"

    def __init__(
        self,
        monitor: str = "shot/balanced",
        patience: int = PATIENCE,
        rule: str = "greater",
        min_delta: float = 0.0,
    ) -> None:
        if patience < 1:
            raise UserInputError(f"patience={patience} of early stopping must be at least 1 evaluation, like 10.")
        super().__init__(monitor, rule=rule, min_delta=min_delta, patience=patience)

    def before_train(self, runner: Runner) -> None:
        """Continue from what the checkpoint knows, after the evaluation that it lacks.

        Args:
            runner (Runner): The runner of the training process.
        """
        loop = runner.train_loop
        if not isinstance(loop, EpochBasedTrainLoop) or runner.val_loop is None:
            raise UserInputError("early stopping needs a training by epochs that is evaluated; leave it out.")
        if not has_validation(runner.cfg):
            runner.logger.warning(
                "Early stopping looks at the images that the test measures, so the numbers are optimistic."
            )
        if not runner._resume:
            return
        known = runner.message_hub.runtime_info.get(STATE)
        if isinstance(known, Mapping):
            self.best_score, self.wait_count = float(known["best_score"]), int(known["wait_count"])
        loop._decide_current_val_interval()
        is_due = loop.epoch >= loop.val_begin and loop.epoch % loop.val_interval == 0
        if is_due and (known or {}).get("epoch") != loop.epoch:
            runner.logger.info(f"Evaluates epoch {loop.epoch} again, for early stopping.")
            runner.val_loop.run()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Count, and end the training where the count is full.

        Args:
            runner (Runner): The runner of the training process.
            metrics (dict): Metrics of the evaluation.
        """
        value, sign = float((metrics or {})[self.monitor]), 1 if self.rule == "greater" else -1
        if sign * (value - self.best_score) > abs(self.min_delta):  # mmengine's would take an equal value for better
            self.best_score, self.wait_count = value, 0
        else:
            self.wait_count += 1
        state = {"epoch": runner.epoch, "best_score": self.best_score, "wait_count": self.wait_count}
        runner.message_hub.update_info(STATE, state)
        if self.wait_count < self.patience or runner.epoch >= runner.max_epochs:
            return
        runner.train_loop.stop_training = True
        runner.logger.info(
            f"Stops early after epoch {runner.epoch} of {runner.max_epochs}: {self.monitor} has not been better than "
            f"{self.best_score:.2f} for {self.wait_count} evaluations."
        )
        for hook in runner.hooks:
            if isinstance(hook, CheckpointHook):
                hook._save_checkpoint_with_step(runner, runner.epoch, {"epoch": runner.epoch, "iter": runner.iter})
