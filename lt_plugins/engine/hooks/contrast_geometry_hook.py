"""Geometry of a contrastive run: measured on each validation, into its log."""

from __future__ import annotations

from mmengine.runner import Runner

from lt_plugins.engine.contrast_geometry import measure_geometry
from lt_plugins.engine.hooks.method_hook import MethodHook
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.geometry_names import scalar_name
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS


@HOOKS.register_module()
class ContrastGeometryHook(MethodHook):
    """Contrast-geometry hook: logs alignment, uniformity and class distances of the validation images by group.

    On each validation some of its images pass once more, and in two augmented views; the numbers, of all classes and of
    many-, medium- and few-shot ones, stand beside the metrics (``geometry/alignment``, ``geometry/within_few``, ...).
    The ``contrast`` page of ``tools/inspect_model.py`` draws them over the epochs, with those of the checkpoints that
    the run kept. Training itself is the same, to the last bit.

    Args:
        max_images (int): Images to measure, as many of each class, but at least two. Defaults to 2000.
        seed (int): Seed of drawn images and of their views. Defaults to 0.

    Raises:
        UserInputError: If ``max_images`` is not positive.

    Config::

        default_hooks = dict(contrast_geometry=dict(type='ContrastGeometryHook'))
    """

    # Before EMAHook puts the weights back that it has validated without.
    priority = "HIGH"

    def __init__(self, max_images: int = 2000, seed: int = 0) -> None:
        if max_images < 1:
            raise UserInputError(f"max_images={max_images} of ContrastGeometryHook must be positive, like 2000.")
        self.max_images = max_images
        self.seed = seed

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:  # noqa: ARG002
        """Measure the model that was validated.

        Args:
            runner (Runner): The runner of the training process.
            metrics (dict[str, float], optional): Unused.
        """
        loader = runner.val_dataloader
        found = measure_geometry(
            unwrap_model(runner.model),
            loader.dataset,
            runner.cfg,
            max_images=self.max_images,
            seed=self.seed,
            batch_size=loader.batch_size or 64,
            num_workers=loader.num_workers,
        )
        for quantity, values in found.numbers.items():
            for group, value in values.items():
                runner.message_hub.update_scalar(f"val/{scalar_name(quantity, group)}", value)
