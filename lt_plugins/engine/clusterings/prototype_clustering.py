"""Clustering task of PCL: finds prototypes of the images at several granularities."""

from __future__ import annotations

from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.runner import Runner

from lt_plugins.clustering import Prototypes, check_backend, prototypes
from lt_plugins.engine.clusterings.clustering_task import FeaturePass
from lt_plugins.engine.clusterings.projection_clustering import ProjectionClustering
from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import PCLLoss
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import TASK_UTILS


@TASK_UTILS.register_module()
class PrototypeClustering(ProjectionClustering):
    """Clusters the projections of all images at each granularity of a ``PCLLoss``, without looking at classes.

    The features are those of the encoder that the model clusters with (the key encoder of a ``MomentumClassifier``).
    Source: Li et al. (ICLR 2021), Algorithm 1; see :func:`lt_plugins.clustering.prototypes`.

    Args:
        alpha (float): Softens the temperature of small clusters. Defaults to 10.
        num_iters (int): Iterations of k-means. Defaults to 20.
        num_restarts (int): Starts of k-means, of which the tightest clustering is kept. Defaults to 5.
        backend (str): k-means backend, see :func:`lt_plugins.clustering.kmeans`. Defaults to ``"auto"``.

    Raises:
        UserInputError: If an argument is out of range, or faiss is asked for and not installed.

    Examples:
        >>> hook = dict(type='ReclusterHook', start=20, interval=1, task=dict(type='PrototypeClustering'))
    """

    loss_type = PCLLoss
    finds = "prototypes"

    def __init__(self, alpha: float = 10.0, num_iters: int = 20, num_restarts: int = 5, backend: str = "auto") -> None:
        if min(alpha, num_iters, num_restarts) <= 0:
            raise UserInputError(
                f"alpha={alpha}, num_iters={num_iters} and num_restarts={num_restarts} must be positive."
            )
        check_backend(backend)
        self.alpha = alpha
        self.num_iters = num_iters
        self.num_restarts = num_restarts
        self.backend = backend

    def run(self, runner: Runner, feature_pass: FeaturePass) -> str:
        """Compute all projections and cluster them at each granularity.

        Args:
            runner (Runner): The runner of the training process.
            feature_pass (FeaturePass): The training set and how to run over it.

        Returns:
            str: What was found, for the log.
        """
        model = unwrap_model(runner.model)
        loss: PCLLoss = model.head.loss_module

        features = self.gather_projections(model, feature_pass)
        counts = loss.cluster_counts(len(features))
        found: list[Any] = [None] * len(counts)
        if is_main_process():
            features = features.to(loss.granularities[0].phi.device)
            for index, number in enumerate(counts):
                seed = (runner.seed, runner.epoch, index)
                one = prototypes(
                    features,
                    number,
                    loss.temperature,
                    self.alpha,
                    self.num_iters,
                    self.num_restarts,
                    seed,
                    self.backend,
                )
                # A tensor of a GPU would be unpickled on that GPU by all processes.
                found[index] = Prototypes(one.assignment.cpu(), one.centroids.cpu(), one.phi.cpu(), one.mean_cosine)
        broadcast_object_list(found)
        loss.set_prototypes(found)
        mean_cosine = sum(one.mean_cosine for one in found) / len(found)
        runner.message_hub.update_scalar("train/prototype_cosine", mean_cosine)
        numbers = ", ".join(str(len(one.phi)) for one in found)
        low, high = (min(float(one.phi.min()) for one in found), max(float(one.phi.max()) for one in found))
        return f"{numbers} prototypes, mean cosine {mean_cosine:.3f}, temperatures {low:.3f} to {high:.3f}"
