"""Few-shot weights: generates the class weights of novel classes from their training images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import broadcast
from mmengine.runner import Runner
from torch import Tensor

from lt_plugins.datasets.labels import get_labels
from lt_plugins.datasets.loader_order import batch_parts, ordinary_sampler
from lt_plugins.datasets.pipelines import replace_pipeline, require_test_pipeline
from lt_plugins.datasets.samplers import EpisodicSampler
from lt_plugins.engine.features import gather_features
from lt_plugins.engine.hooks.method_hook import MethodHook
from lt_plugins.errors import UserInputError
from lt_plugins.models.evaluation_mode import evaluation_mode
from lt_plugins.models.heads import FSLwFHead
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS


@HOOKS.register_module()
class FewShotWeightHook(MethodHook):
    """Few-shot-weight hook: tells an :class:`.FSLwFHead` its episodes, and generates the weights of novel classes.

    Before the training the head gets base classes and layout of the episodes from the ``EpisodicSampler`` of the train
    data loader. At the end of each epoch, before its checkpoint, all training images of the other classes pass through
    the model without augmentation, and the head generates their weights.

    Source: Gidaris & Komodakis, "Dynamic Few-Shot Visual Learning without Forgetting" (CVPR 2018), section 3.

    Args:
        batch_size (int): Images a batch of the pass. Defaults to 256.
        num_workers (int): Data-loader workers of the pass. Defaults to 2.

    Raises:
        UserInputError: If ``batch_size`` is not positive, the head is no ``FSLwFHead``, its images come in another
            order or in batches that are not made of whole episodes, or there is no test pipeline.

    Examples:
        >>> custom_hooks = [dict(type='FewShotWeightHook')]
    """

    def __init__(self, batch_size: int = 256, num_workers: int = 2) -> None:
        if batch_size < 1:
            raise UserInputError(f"batch_size={batch_size} must be positive.")
        self.batch_size = batch_size
        self.num_workers = num_workers

    def before_train(self, runner: Runner) -> None:
        """Tell the head its episodes.

        Args:
            runner (Runner): The runner of the training process.
        """
        head = unwrap_model(runner.model).head
        if not isinstance(head, FSLwFHead):
            raise UserInputError(
                f"FewShotWeightHook generates the weights of an FSLwFHead, and the head is a {type(head).__name__}; "
                "set model.head.type='FSLwFHead' or drop the hook."
            )
        loader = runner.train_dataloader
        sampler, (size, _) = ordinary_sampler(loader), batch_parts(loader)
        if not isinstance(sampler, EpisodicSampler):
            raise UserInputError(
                f"FSLwFHead learns from episodes, and the images come from a {type(sampler).__name__}; set "
                "train_dataloader.sampler=dict(type='EpisodicSampler')."
            )
        if size % sampler.episode_size:
            raise UserInputError(
                f"train_dataloader.batch_size={size} must be a multiple of {sampler.episode_size}, the images of an "
                "episode of EpisodicSampler."
            )
        head.set_episodes(sampler.base_classes.tolist(), sampler.exemplars_per_episode, sampler.queries_per_episode)
        if number := len(_novel_images(runner, head)):
            self._pipeline(runner)  # which an epoch ends with
        runner.logger.info(
            f"FSLwF: {len(sampler.base_classes)} base classes learn their weights, in {size // sampler.episode_size} "
            f"episodes a batch; those of {head.num_classes - len(sampler.base_classes)} novel classes are generated "
            f"from their {number} images."
        )

    def after_train_epoch(self, runner: Runner) -> None:
        """Generate the weights of the novel classes.

        Args:
            runner (Runner): The runner of the training process.
        """
        model = unwrap_model(runner.model)
        images = _novel_images(runner, model.head)
        if not len(images):
            return

        def extract(batch: dict[str, Any]) -> Tensor:
            inputs = model.data_preprocessor(batch, training=False)["inputs"]
            return model.head.pre_logits(model.extract_feat(inputs))

        dataset = runner.train_dataloader.dataset
        with evaluation_mode(model):
            features = gather_features(
                extract,
                replace_pipeline(dataset, self._pipeline(runner)),
                batch_size=self.batch_size,
                num_workers=self.num_workers,
                indices=images,
                description="features of novel classes",
            )
        weight = model.head.novel_weight
        model.head.set_novel_weight(
            features.to(weight), torch.from_numpy(get_labels(dataset))[images].to(weight.device)
        )
        broadcast(weight)

    def _pipeline(self, runner: Runner) -> Sequence[dict]:
        return require_test_pipeline(runner.cfg, type(self).__name__)


def _novel_images(runner: Runner, head: FSLwFHead) -> Tensor:
    """Training images of the classes whose weights are generated, int64 ``(S,)``, ascending."""
    labels = torch.from_numpy(get_labels(runner.train_dataloader.dataset))
    return (~head.is_base.cpu())[labels].nonzero().flatten()
