"""Clustering task of SBCL: splits head classes into balanced subclasses."""

from __future__ import annotations

import torch
from mmengine.dist import broadcast, is_main_process
from mmengine.runner import Runner
from torch import Tensor

from lt_plugins.clustering import check_subclass_options, subclass_clusters, subclass_sizes
from lt_plugins.datasets.labels import get_labels
from lt_plugins.engine.clusterings.clustering_task import FeaturePass
from lt_plugins.engine.clusterings.projection_clustering import ProjectionClustering
from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import SBCLLoss
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import TASK_UTILS


@TASK_UTILS.register_module()
class SubclassClustering(ProjectionClustering):
    """Clusters the projections of each head class into subclasses of at most ``max(n_C, min_size)`` images.

    The result goes into ``SBCLLoss.subclass``. The same features are handed to every hook that has an
    ``after_feature_pass(runner, features, labels)``, such as ``TemperatureHook``. Source: Hou et al. (ICCV 2023),
    Algorithm 1; see :func:`lt_plugins.clustering.subclass_clusters`.

    Args:
        min_size (int): Capacity of a subclass if the smallest class has fewer images, ``delta``. Defaults to 10.
        max_iters (int): Iterations at most. Defaults to 50.
        balanced (bool): Whether a subclass has a capacity; False is plain k-means. Defaults to True.
        rounding (str): Whether the number of subclasses of a class, ``n / M``, is rounded ``"up"`` or ``"down"``.
            Defaults to ``"up"``.
        start (str): First centres: ``"farthest"`` from each other or ``"random"`` samples. Defaults to ``"farthest"``.

    Raises:
        UserInputError: If a number is not positive, an option is unknown, or they exclude each other.

    Examples:
        >>> hook = dict(type='ReclusterHook', start=10, task=dict(type='SubclassClustering', min_size=10))
    """

    loss_type = SBCLLoss
    finds = "subclasses"

    def __init__(
        self,
        min_size: int = 10,
        max_iters: int = 50,
        balanced: bool = True,
        rounding: str = "up",
        start: str = "farthest",
    ) -> None:
        if min(min_size, max_iters) <= 0:
            raise UserInputError(f"min_size={min_size} and max_iters={max_iters} must be positive.")
        check_subclass_options(balanced, rounding, start)
        self.min_size = min_size
        self.max_iters = max_iters
        self.balanced = balanced
        self.rounding = rounding
        self.start = start

    def run(self, runner: Runner, feature_pass: FeaturePass) -> str:
        """Compute all projections, cluster them, and call the hooks that read the feature pass.

        Args:
            runner (Runner): The runner of the training process.
            feature_pass (FeaturePass): The training set and how to run over it.

        Returns:
            str: What was found, for the log.
        """
        model = unwrap_model(runner.model)
        loss: SBCLLoss = model.head.loss_module
        device = loss.subclass.device
        labels = torch.from_numpy(get_labels(feature_pass.dataset)).to(device)

        features = self.gather_projections(model, feature_pass).to(device)
        subclass = torch.zeros_like(labels)
        figures = torch.zeros(3, device=device)
        if is_main_process():
            found = subclass_clusters(
                features,
                labels,
                self.min_size,
                self.max_iters,
                runner.seed + runner.epoch,
                self.balanced,
                self.rounding,
                self.start,
            )
            subclass.copy_(found.subclass)
            figures.copy_(torch.tensor([found.mean_cosine, found.num_iters, found.num_unsettled]))
        broadcast(subclass)
        broadcast(figures)
        loss.set_subclasses(subclass)
        runner.call_hook("after_feature_pass", features=features, labels=labels)
        mean_cosine, num_iters, num_unsettled = figures.tolist()
        runner.message_hub.update_scalar("train/subclass_cosine", mean_cosine)
        unsettled = f" ({num_unsettled:.0f} classes not settled)" if num_unsettled else ""
        return (
            f"{describe_sizes(subclass, labels)}, mean cosine {mean_cosine:.3f}, {num_iters:.0f} iterations{unsettled}"
        )


def describe_sizes(subclass: Tensor, labels: Tensor) -> str:
    """Describe the number of subclasses and the sizes of those in split classes.

    Args:
        subclass (Tensor): Subclass of each image, int64 ``(N,)``.
        labels (Tensor): Class of each image, int64 ``(N,)``.
    """
    found = subclass_sizes(subclass, labels, int(labels.max()) + 1)
    parts = found.sizes[found.is_part]
    text = f"{len(found.sizes)} subclasses of {int((found.num_parts > 0).sum())} classes"
    if not len(parts):
        return f"{text}, none split"
    smallest, largest = int(parts.min()), int(parts.max())
    return (
        f"{text}, {int((found.num_parts > 1).sum())} of them split into parts of {smallest} to {largest} images "
        f"(max/min {largest / smallest:.1f})"
    )
