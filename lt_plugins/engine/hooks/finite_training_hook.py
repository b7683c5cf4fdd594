"""Divergence check: stops a training whose numbers are not finite before the next checkpoint."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor

from lt_plugins.checkpoints.checkpoint import find_last_checkpoint
from lt_plugins.checkpoints.finite import check_finite_checkpoint, describe_non_finite, find_non_finite
from lt_plugins.engine.batch_norm_rollback import BatchNormRollback
from lt_plugins.engine.runner_parts import optim_wrappers
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import LabelBatch
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS


@HOOKS.register_module()
class FiniteTrainingHook(Hook):
    """Divergence hook: stops when a loss, weight, buffer, optimiser state, learning rate or score is not finite.

    It looks every ``interval`` iterations, at the end of an epoch and before a checkpoint is written, so that other
    steps do not wait for the device: at the losses of all iterations since, which the log has, at weights and buffers
    (running statistics, covariances, queue, ...) and at the state of the optimiser. Without mixed precision a gradient
    that is not finite shows in the weights. All processes stop together.

    With dynamic loss scaling (``--amp``) steps may be skipped because gradients overflow; the loss of such a step does
    not count, and what its forward pass left in the running statistics of batch norms is taken back
    (:class:`~lt_plugins.engine.batch_norm_rollback.BatchNormRollback`). A training that only skips is stopped.

    In validation and testing the scores of the model must be finite: a metric would count them as wrong, or worse.

    Args:
        interval (int): Iterations between two looks. Defaults to 10.
        max_skipped_steps (int): So many steps in a row may be skipped by the loss scaling. It starts at 65536 and is
            halved each time, so that 50 are far more than it takes to find a scale. Defaults to 50.

    Config::

        default_hooks = dict(finite=dict(type='FiniteTrainingHook'))

    Raises:
        UserInputError: If an argument is out of range; if the training has diverged, with the epoch, the iteration, the
            loss term or tensor, and the likely causes; or if a checkpoint to load has.
    """

    # Right after RuntimeInfoHook or DeferredInfoHook, which logs the losses, and before what copies weights (EMA).
    priority = "VERY_HIGH"

    def __init__(self, interval: int = 10, max_skipped_steps: int = 50) -> None:
        if min(interval, max_skipped_steps) < 1:
            raise UserInputError(f"interval={interval} and max_skipped_steps={max_skipped_steps} must be 1 or more.")
        self.interval = interval
        self.max_skipped_steps = max_skipped_steps
        self._problem: str | None = None
        # The iterations since the last look, None for one that does not count, and which of them logged a loss.
        self._places: list[str | None] = []
        self._noted: dict[str, list[int]] = {}
        self._has_stepped = False
        self._num_skipped = 0
        self._rollback: BatchNormRollback | None = None
        self._scores_finite: Tensor | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Refuse weights that are not finite.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): The loaded checkpoint.
        """
        check_finite_checkpoint(checkpoint, str(runner._load_from or "the checkpoint"))

    def before_train(self, runner: Runner) -> None:
        """Check the initial values, and watch the steps of the optimiser if a loss scaling may skip them.

        Args:
            runner (Runner): The runner of the training process.
        """
        if any(_is_scaled(wrapper) for wrapper in optim_wrappers(runner)):
            for wrapper in optim_wrappers(runner):
                wrapper.optimizer.register_step_post_hook(self._note_step)
        if (rate := _wrong_rate(runner)) is not None:
            raise UserInputError(f"the learning rate is {rate}; set optim_wrapper.optimizer.lr to a positive number.")
        self._check(runner, "before the first iteration")

    def before_train_epoch(self, runner: Runner) -> None:
        """Note the running statistics that an epoch starts with, if a loss scaling may skip steps.

        Args:
            runner (Runner): The runner of the training process.
        """
        # Anew for each epoch: hooks such as PreciseBNHook put other tensors in their place.
        if any(_is_scaled(wrapper) for wrapper in optim_wrappers(runner)):
            self._rollback = BatchNormRollback(unwrap_model(runner.model))

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,  # noqa: ARG002 (mmengine's signature)
        outputs: dict | None = None,
    ) -> None:
        """Note the losses, and every ``interval`` iterations check everything.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): Position of the batch in its epoch.
            data_batch (Any): Unused.
            outputs (dict, optional): The loss terms and other values for the log.
        """
        where = _place(runner, batch_idx)
        for name in outputs or ():
            if "loss" in name:
                self._noted.setdefault(name, []).append(len(self._places))
        self._places.append(where if self._rollback is None or self._has_stepped else None)
        if self._rollback is not None:
            self._rollback.update()
            if self._skips_without_end(runner):
                self._problem = self._find_bad_loss(runner) or (
                    f"the loss scaling has skipped {self._num_skipped} steps in a row, as gradients are not finite, in "
                    f"{where}"
                )
        if (runner.iter + 1) % self.interval == 0 or (self._problem is not None and runner.world_size == 1):
            self._check(runner, f"after {where}")

    def after_train_epoch(self, runner: Runner) -> None:
        """Check everything before the checkpoint of the epoch is written.

        Args:
            runner (Runner): The runner of the training process.
        """
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            self._check(runner, f"after epoch {runner.epoch + 1}")
        else:
            self._check(runner, f"after iteration {runner.iter}")

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Look at the losses before a checkpoint within an epoch, which names the iteration better than the weights do.

        Args:
            runner (Runner): The runner of the training process.
            checkpoint (dict): What is about to be written, by the main process alone; ``SafeCheckpointHook`` checks it.
        """
        if runner.world_size == 1 and (problem := self._find_bad_loss(runner)) is not None:
            raise UserInputError(f"the training has diverged: {problem}; {_advice(runner)}")

    @torch.no_grad()
    def _after_iter(
        self,
        runner: Runner,  # noqa: ARG002 (mmengine's signature, of what is done in validation and testing alike)
        batch_idx: int,  # noqa: ARG002
        data_batch: Any = None,  # noqa: ARG002
        outputs: Sequence[Any] | dict | None = None,
        mode: str = "val",  # noqa: ARG002
    ) -> None:
        """Note whether the scores of a batch are finite, on the device."""
        if isinstance(outputs, LabelBatch) and outputs.pred_score is not None:
            scores = [outputs.pred_score]
        else:
            scores = [score for sample in outputs or () for score in _scores(sample) if score.numel()]
        if scores:
            finite = torch.cat([score.flatten() for score in scores]).isfinite().all()
            self._scores_finite = finite if self._scores_finite is None else self._scores_finite & finite

    def _after_epoch(self, runner: Runner, mode: str = "val") -> None:
        """Refuse metrics of scores that are not finite."""
        finite, self._scores_finite = self._scores_finite, None
        device = next(runner.model.parameters()).device
        flag = torch.ones((), device=device) if finite is None else finite.to(device, torch.float32)
        all_reduce(flag, op="min")
        if not flag.item():
            raise UserInputError(
                f"the model gives scores that are not finite ({mode}), so its metrics mean nothing; it has diverged or "
                "half precision overflows, use an earlier checkpoint, or float32."
            )

    def _note_step(self, *_: Any) -> None:
        """Count a step that was not skipped, without waiting for the device."""
        self._has_stepped = True

    def _find_bad_loss(self, runner: Runner) -> str | None:
        """Describe the first loss since the last look that was not finite, if there is one."""
        places, noted = self._places, self._noted
        self._places, self._noted = [], {}
        if self._problem is not None:
            return self._problem
        bad: dict[int, list[str]] = {}
        for name, iterations in noted.items():
            if (history := runner.message_hub.log_scalars.get(f"train/{name}")) is None:
                continue
            for iteration, value in zip(iterations, history.data[0][-len(iterations) :].tolist(), strict=True):
                if places[iteration] is not None and not math.isfinite(value):
                    bad.setdefault(iteration, []).append(f"{name} is {value}")
        if bad:
            first = min(bad)
            terms = [text for text in bad[first] if not text.startswith("loss is")]  # the sum only if it is alone
            self._problem = f"{', '.join(terms or bad[first])} in {places[first]}"
        return self._problem

    def _skips_without_end(self, runner: Runner) -> bool:
        """Count the steps in a row that were due and did not come, and say whether they are too many."""
        if self._has_stepped:
            self._num_skipped = 0
        elif any(wrapper.should_update() for wrapper in optim_wrappers(runner)):
            self._num_skipped += 1
        self._has_stepped = False
        return self._num_skipped >= self.max_skipped_steps

    def _check(self, runner: Runner, when: str) -> None:
        """Stop all processes if one of them has a problem."""
        problem = self._find_bad_loss(runner)
        if problem is None:
            found = find_non_finite(_state_tensors(runner))
            if found:
                problem = f"not finite {when}: {describe_non_finite(found)}"
        if problem is None and (rate := _wrong_rate(runner)) is not None:
            problem = f"the learning rate that param_scheduler gives is {rate} {when}"
        if runner.world_size > 1:
            flag = torch.tensor(float(problem is not None), device=next(runner.model.parameters()).device)
            all_reduce(flag, op="max")
            if not flag.item():
                return
            problem = next(text for text in all_gather_object(problem) if text is not None)
        if problem is not None:
            raise UserInputError(f"the training has diverged: {problem}; {_advice(runner)}")


def explain_failure(runner: Runner, error: Exception) -> None:
    """Explain an exception of other code by a divergence that caused it before the hook could check.

    Args:
        runner (Runner): The runner of the training process.
        error (Exception): What stopped it.

    Raises:
        UserInputError: If a loss, weights, buffers or the state of the optimiser are not finite.
    """
    problem = None
    with suppress(RuntimeError):  # a device that has failed answers no more
        losses = (hook._find_bad_loss(runner) for hook in runner.hooks if isinstance(hook, FiniteTrainingHook))
        problem = next((found for found in losses if found is not None), None)
        if problem is None and (tensors := find_non_finite(_state_tensors(runner))):
            problem = f"not finite are {describe_non_finite(tensors)}"
    if problem is not None:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserInputError(
            f"the training has diverged: {problem}, which led to {reason}; {_advice(runner)}"
        ) from error


def _rates(runner: Runner) -> list[float]:
    return [float(group["lr"]) for wrapper in optim_wrappers(runner) for group in wrapper.optimizer.param_groups]


def _wrong_rate(runner: Runner) -> float | None:
    """Find the first learning rate that is negative or not finite."""
    return next((rate for rate in _rates(runner) if not 0 <= rate < math.inf), None)


def _is_scaled(wrapper: Any) -> bool:
    """Check whether a loss scaling may skip steps."""
    scaler = getattr(wrapper, "loss_scaler", None)
    return scaler is not None and scaler.is_enabled()


def _state_tensors(runner: Runner) -> dict[str, Tensor]:
    """List weights, buffers and state of the optimiser by name."""
    model = unwrap_model(runner.model)
    tensors = dict(model.state_dict(keep_vars=True))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for wrapper in optim_wrappers(runner):
        for parameter, state in wrapper.optimizer.state.items():
            for key, value in state.items():
                if isinstance(value, Tensor):
                    tensors[f"{key} of {names.get(id(parameter), 'a parameter')} in the optimiser"] = value
    return tensors


def _scores(sample: Any) -> Iterator[Tensor]:
    """List the scores of a classified image, or scores and boxes of a detection."""
    if isinstance(sample, Mapping):
        found = [sample.get("pred_score"), sample.get("pred_instances")]
    else:
        found = [getattr(sample, "pred_score", None), getattr(sample, "pred_instances", None)]
    if isinstance(found[0], Tensor):
        yield found[0]
    if found[1] is not None:
        yield from (found[1][key] for key in ("scores", "bboxes") if isinstance(found[1].get(key), Tensor))


def _place(runner: Runner, batch_idx: int) -> str:
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        return f"epoch {runner.epoch + 1}, iteration {batch_idx + 1}"
    return f"iteration {runner.iter + 1}"


def _advice(runner: Runner) -> str:
    """Word the advice: the last good checkpoint, likely causes and fixes."""
    last = runner.message_hub.get_info("last_ckpt", None)
    if last is None or not Path(last).is_file():  # it was about to be written
        last = None
        with suppress(UserInputError):
            last = find_last_checkpoint(runner.work_dir)
    kept = f"{Path(last).name} is the last good checkpoint, resume from it" if last else "no checkpoint is written yet"
    half = any(_is_scaled(wrapper) for wrapper in optim_wrappers(runner))
    return (
        f"{kept}. Likely causes: a learning rate that is too high (now {max(_rates(runner), default=0.0):g}; lower "
        "optim_wrapper.optimizer.lr, warm up, or clip gradients by optim_wrapper.clip_grad), broken images or labels "
        "(tools/check_data.py), the logarithm of or a division by zero in a loss"
        + (", half precision that overflows (train without --amp, or with --amp bf16)." if half else ".")
    )
