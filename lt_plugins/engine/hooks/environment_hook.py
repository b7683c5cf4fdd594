"""Environments of invariant feature learning: renews how often each image is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import broadcast
from mmengine.runner import Runner
from torch import Tensor

from lt_plugins.clustering import check_environment_options, environment_weights
from lt_plugins.datasets.labels import get_labels
from lt_plugins.datasets.loader_order import all_samplers
from lt_plugins.datasets.samplers import EnvironmentSampler
from lt_plugins.engine.hooks.image_buffers_hook import ImageBuffersHook
from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import EnvironmentRecorder
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS


@HOOKS.register_module()
class EnvironmentHook(ImageBuffersHook):
    """Environment hook: draws the environments of invariant feature learning (IFL) by the confidence of the network.

    At the end of the epochs ``milestones`` it computes the weights of each environment beside the first by the
    confidences that the :class:`.EnvironmentRecorder` of the model has noted in that epoch
    (:func:`lt_plugins.clustering.environment_weights`), keeps them there, which is in the checkpoint, and sets them on
    the :class:`.EnvironmentSampler` of that number among the companions of the train data loader. Until then all
    environments are uniform. Without a recorder it does nothing.

    Source: Tang et al., "Invariant Feature Learning for Generalized Long-Tailed Classification" (ECCV 2022), and its
    released code.

    Args:
        milestones (Sequence[int], optional): Epochs, from 0, at whose end the weights are renewed. Defaults to None: at
            the end of every ``interval`` epochs, as for IRM in the released code.
        ratios (Sequence[float]): Ratio of each environment beside the first: about how much more often it shows the
            doubted fifth of a class. 2 and 4 for three environments. Defaults to ``(4.0,)``.
        interval (int): Epochs between two renewals without ``milestones``. Defaults to 1.
        gamma_range (Sequence[float]): Limits of the exponent. Defaults to ``(1.0, 10.0)``.
        unseen (str): Weight of images that did not come in the epoch, ``"zero"`` or ``"mean"``. Defaults to ``"zero"``,
            as in the released code: with replacement that is one in seven.
        balance_classes (bool): Whether these environments show each class equally often, as in the released code; else
            as often as the training set. Defaults to True.

    Raises:
        UserInputError: If an argument is out of range, or the data loader has other environments than ``ratios``.

    Examples:
        >>> train_dataloader = dict(
        ...     sampler=dict(type='EnvironmentSampler', environment=0),
        ...     batch_sampler=dict(type='CompanionBatchSampler', companions=[dict(type='EnvironmentSampler')]))
        >>> custom_hooks = [dict(type='EnvironmentHook', milestones=[60, 80])]
    """

    def __init__(
        self,
        milestones: Sequence[int] | None = None,
        ratios: Sequence[float] = (4.0,),
        interval: int = 1,
        gamma_range: Sequence[float] = (1.0, 10.0),
        unseen: str = "zero",
        balance_classes: bool = True,
    ) -> None:
        if not ratios or interval < 1 or any(epoch < 0 for epoch in milestones or ()):
            raise UserInputError(
                f"milestones={milestones} must be epochs from 0 on, interval={interval} 1 or more, and ratios={ratios} "
                "one for each environment beside the first, like [4.0]."
            )
        self.options: dict[str, Any] = {"gamma_range": tuple(gamma_range), "unseen": unseen}
        for ratio in ratios:
            check_environment_options(ratio, **self.options)
        self.options["balance_classes"] = balance_classes
        self.milestones = None if milestones is None else frozenset(milestones)
        self.ratios = tuple(ratios)
        self.interval = interval

    def before_train(self, runner: Runner) -> None:
        """Check the environments, and set the weights that a resumed checkpoint brought.

        Args:
            runner (Runner): The runner of the training process.
        """
        super().before_train(runner)
        recorder = find_recorder(runner)
        if recorder is None:
            return
        found = sorted(sampler.environment for sampler in environment_samplers(runner))
        expected = [*range(1, 1 + len(self.ratios))]
        if found != expected:
            raise UserInputError(
                f"ratios={list(self.ratios)} of EnvironmentHook are of the environments {expected}, and those of "
                f"train_dataloader are {found}; give batch_sampler.companions a dict(type='EnvironmentSampler', "
                "environment=E) for each."
            )
        num_images = len(recorder.confidence)
        if runner.iter == 0 or recorder.weights.shape != (len(self.ratios), num_images):
            recorder.set_weights(torch.ones(len(self.ratios), num_images))
        set_environments(runner, recorder.weights)

    def after_train_epoch(self, runner: Runner) -> None:
        """Combine the confidences of all processes, and renew the weights if this epoch is due.

        Args:
            runner (Runner): The runner of the training process.
        """
        recorder = find_recorder(runner)
        if recorder is None:
            return
        recorder.combine()
        if self.is_due(runner.epoch):
            self.renew(runner, recorder)

    def is_due(self, epoch: int) -> bool:
        """Check whether the weights are renewed at the end of an epoch.

        Args:
            epoch (int): The epoch that ends, from 0.
        """
        return (epoch + 1) % self.interval == 0 if self.milestones is None else epoch in self.milestones

    def renew(self, runner: Runner, recorder: EnvironmentRecorder) -> None:
        """Compute the weights, the same on every rank, and set them on the samplers.

        Args:
            runner (Runner): The runner of the training process.
            recorder (EnvironmentRecorder): What the model has recorded; it takes the weights.
        """
        labels = torch.from_numpy(get_labels(runner.train_dataloader.dataset))
        confidence = recorder.confidence.cpu()
        weights = torch.stack([environment_weights(confidence, labels, ratio, **self.options) for ratio in self.ratios])
        weights = weights.to(recorder.weights)
        broadcast(weights)
        recorder.set_weights(weights)
        set_environments(runner, weights)
        for environment, (ratio, row) in enumerate(zip(self.ratios, weights, strict=True), start=1):
            share = row / row.sum()
            runner.logger.info(
                f"Environment {environment} from epoch {runner.epoch + 2} on, ratio {ratio:g}: "
                f"{100 * float((row > 0).double().mean()):.1f} % of the images, as varied as "
                f"{100 / float(share.square().sum() * len(row)):.1f} % drawn equally often"
            )


def find_recorder(runner: Runner) -> EnvironmentRecorder | None:
    """Find the recorder of the model; None if it has none.

    Args:
        runner (Runner): The runner of the training process.
    """
    parts = unwrap_model(runner.model).modules()
    return next((part for part in parts if isinstance(part, EnvironmentRecorder)), None)


def environment_samplers(runner: Runner) -> list[EnvironmentSampler]:
    """List the samplers of the environments beside the first one.

    Args:
        runner (Runner): The runner of the training process.
    """
    samplers = all_samplers(runner.train_dataloader)
    return [sampler for sampler in samplers if isinstance(sampler, EnvironmentSampler) and sampler.environment > 0]


def set_environments(runner: Runner, weights: Tensor) -> None:
    """Set the weights of the environments on their samplers.

    Args:
        runner (Runner): The runner of the training process.
        weights (Tensor): Those beside the first environment, shape ``(E - 1, N)``.
    """
    for sampler in environment_samplers(runner):
        sampler.set_weights(weights[sampler.environment - 1])
