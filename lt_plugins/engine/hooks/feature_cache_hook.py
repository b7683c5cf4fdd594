"""Trains the head of a frozen backbone on features that are computed once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.runner import Runner
from torch.utils.data import DataLoader

from lt_plugins.datasets.feature_dataset import FeatureDataset, take_batch
from lt_plugins.datasets.pipelines import loader_pipeline, require_test_pipeline
from lt_plugins.engine.feature_cache import cache_folder, cached_features
from lt_plugins.engine.hooks.method_hook import MethodHook
from lt_plugins.errors import UserInputError
from lt_plugins.models.classifiers import FrozenBackboneClassifier
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS

CPU_BATCH, GPU_BATCH = 8, 64


@HOOKS.register_module()
class FeatureCacheHook(MethodHook):
    """Feature-cache hook: computes the features of a frozen backbone once, before the first step, and trains on them.

    The training images are seen without augmentation, through the transforms of the test set. Their features and those
    of the validation images stay in memory and in a file that other runs, stages and seeds read too
    (:func:`lt_plugins.engine.feature_cache.cached_features`): weights, image and transforms decide which feature it is,
    so it is never one of something else. Checkpoints are whole classifiers, and testing passes images.

    Args:
        folder (str, optional): Where the files are. Defaults to :func:`.cache_folder`.
        batch_size (int, optional): Images a batch of the pass. Defaults to 64 on a GPU and 8 on a CPU, where the maps
            of larger batches are memory that is fetched from the system for each layer: half of the time.
        num_workers (int): Data-loader workers of the pass. Defaults to 2.

    Raises:
        UserInputError: If an argument is out of range, the model is no :class:`.FrozenBackboneClassifier` whose
            features stay as they are, or images are mixed.

    Examples:
        >>> custom_hooks = [dict(type='FeatureCacheHook'), dict(type='ClassMeanHook')]
    """

    def __init__(self, folder: str | None = None, batch_size: int | None = None, num_workers: int = 2) -> None:
        if (batch_size is not None and batch_size < 1) or num_workers < 0:
            raise UserInputError(f"batch_size={batch_size} must be positive and num_workers={num_workers} 0 or more.")
        self.folder = None if folder is None else Path(folder)
        self.batch_size = batch_size
        self.num_workers = num_workers

    def before_train(self, runner: Runner) -> None:
        """Replace images by features in training and validation.

        Args:
            runner (Runner): The runner of the training process.
        """
        model = unwrap_model(runner.model)
        _check_model(model)
        pipeline = require_test_pipeline(runner.cfg, type(self).__name__)
        loops: dict[str, tuple[Any, Any]] = {"training": (runner.train_loop, pipeline)}
        if runner.val_loop is not None:
            loops["validation"] = (runner.val_loop, loader_pipeline(runner.cfg.val_dataloader) or pipeline)
        folder = self.folder or cache_folder()
        on_cpu = next(model.parameters()).device.type == "cpu"
        batch_size = self.batch_size or (CPU_BATCH if on_cpu else GPU_BATCH)
        for name, (loop, transforms) in loops.items():
            dataset = loop.dataloader.dataset
            features, num_computed = cached_features(
                model,
                dataset,
                transforms,
                folder=folder,
                batch_size=batch_size,
                num_workers=self.num_workers,
                description=f"features of {name} images",
            )
            runner.logger.info(
                f"Features of {len(features):,} {name} images: {num_computed:,} computed, "
                f"{len(features) - num_computed:,} from {folder}"
            )
            loop.dataloader = _feature_loader(loop.dataloader, FeatureDataset(dataset, features))


def _check_model(model: Any) -> None:
    """Refuse a model whose features change, or are no vectors of an image each."""
    if not isinstance(model, FrozenBackboneClassifier) or not model.norm_eval:
        raise UserInputError(
            "FeatureCacheHook needs features that stay as they are; use model=dict(type='FrozenBackboneClassifier') "
            "with norm_eval=True, or leave the hook out."
        )
    if model.data_preprocessor.batch_augments is not None:
        raise UserInputError(
            "features are cached one image at a time, so none can be mixed; drop model.train_cfg.augments, or "
            "FeatureCacheHook."
        )


def _feature_loader(loader: DataLoader[Any], dataset: FeatureDataset) -> DataLoader[Any]:
    """A data loader of features in the order of one of images."""
    if loader.batch_size is None:
        return DataLoader(dataset, batch_sampler=loader.batch_sampler, collate_fn=take_batch)
    return DataLoader(
        dataset,
        batch_size=loader.batch_size,
        sampler=loader.sampler,
        drop_last=loader.drop_last,
        collate_fn=take_batch,
    )
