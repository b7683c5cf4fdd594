"""Look-ahead of meta-learning: names the optimiser, sets learned sampling weights, says what labels are used."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from lt_plugins.datasets.labels import get_labels
from lt_plugins.datasets.leaf_table import build_leaf_table
from lt_plugins.datasets.loader_order import all_samplers, ordinary_sampler
from lt_plugins.datasets.samplers import MetaSampler, PartSampler
from lt_plugins.engine.hooks.method_hook import MethodHook
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import LooksAhead
from lt_plugins.models.structures.learned_sampling import LearnedSampling
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS


@HOOKS.register_module()
class MetaStepHook(MethodHook):
    """Meta-step hook: gives the modules that look a step ahead (MetaSAug, BALMS) the optimiser whose step it is.

    Before the training it says which labels the meta set adds to those of the training set. Before each epoch it sets
    the sampling weights that a :class:`.BALMSHead` has learned on the :class:`.MetaSampler` of the train data loader.
    Without such a module it does nothing.

    Config::

        custom_hooks = [dict(type='MetaStepHook')]

    Raises:
        UserInputError: If gradients are accumulated, the optimiser is not one SGD, the model is wrapped in another way
            than by ``DistributedDataParallel`` or has synchronised batch norms that are trained, or weights are learned
            that no sampler draws by.
    """

    def before_train(self, runner: Runner) -> None:
        """Check what a step ahead needs, and name the optimiser.

        Args:
            runner (Runner): The runner of the training process.
        """
        model = unwrap_model(runner.model)
        heads = [module for module in model.modules() if isinstance(module, LooksAhead)]
        if not heads:
            runner.logger.info(f"MetaStepHook has nothing to do: no module of this {type(model).__name__} looks ahead.")
            return
        name, wrapper = type(heads[0]).__name__, runner.optim_wrapper
        if not isinstance(wrapper, OptimWrapper):
            raise UserInputError(f"{name} looks one step of one optimiser ahead, and optim_wrapper has {len(wrapper)}.")
        if wrapper._accumulative_counts > 1:
            raise UserInputError(
                f"accumulative_counts={wrapper._accumulative_counts}: {name} looks ahead by the step of each batch, "
                "and one of several batches is another; leave it out, and use a larger batch or more processes."
            )
        if is_model_wrapper(runner.model) and not isinstance(runner.model, DistributedDataParallel):
            raise UserInputError(
                f"{name} steps whole weights, which {type(runner.model).__name__} does not have in each process; use "
                "MMDistributedDataParallel (no model_wrapper_cfg)."
            )
        if any(isinstance(m, nn.SyncBatchNorm) and m.weight.requires_grad for m in model.modules()):
            raise UserInputError(
                f"{name} differentiates a step of the network by torch.func, which SyncBatchNorm does not take; leave "
                "out sync_bn."
            )
        for head in heads:
            head.set_optimizer(wrapper.optimizer)
            runner.logger.info(f"{head.extra_labels} from {describe_meta_set(runner.train_dataloader)}.")

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the learned weights on the sampler, the same on every rank.

        Args:
            runner (Runner): The runner of the training process.
        """
        learned = [part for part in unwrap_model(runner.model).modules() if isinstance(part, LearnedSampling)]
        if not learned:
            return
        samplers = [part for part in all_samplers(runner.train_dataloader) if isinstance(part, MetaSampler)]
        if not samplers:
            raise UserInputError(
                "the model learns sampling weights that no sampler draws by; set train_dataloader.sampler.type="
                "'MetaSampler'."
            )
        for sampler in samplers:
            sampler.set_class_weights(learned[0].weights)


def describe_meta_set(loader: DataLoader[Any]) -> str:
    """Describe the images of the first companion of a data loader, and how many of them are training images.

    Args:
        loader (DataLoader): The train data loader, with a ``CompanionBatchSampler``.
    """
    samplers = ordinary_sampler(loader), loader.batch_sampler.companions[0]  # type: ignore[union-attr]
    labels, images = get_labels(loader.dataset), build_leaf_table(loader.dataset).image_numbers()
    places = [
        slice(sampler.offset, sampler.offset + len(sampler.part_dataset))
        if isinstance(sampler, PartSampler)
        else slice(None)
        for sampler in samplers
    ]
    counts = np.bincount(labels[places[1]])
    counts = counts[counts > 0]
    sizes = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
    chosen = np.unique(images[places[1]])
    shared = int(np.isin(chosen, images[places[0]]).sum())
    text = f"the labels of a meta set of {len(chosen):,} images, {sizes} a class, "
    if shared == 0:
        return text + "none of which is a training image: labels that other methods do not see"
    return text + ("all" if shared == len(chosen) else f"{shared:,}") + " of which are training images"
