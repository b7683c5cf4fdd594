"""Base class of the clustering tasks that find parts of the training set for a loss, from all its projections."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn
from torch.utils.data import Dataset

from lt_plugins.engine.clusterings.clustering_task import ClusteringTask, FeaturePass
from lt_plugins.engine.sample_index import check_sample_index
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import DataSizedModule


class ProjectionClustering(ClusteringTask):
    """Base class of clustering tasks that read the projections of all images and fill the buffers of a loss.

    Attributes:
        loss_type (type): Class of the loss; its ``is_ready`` says whether it has a clustering.
        finds (str): What is found, for messages: ``"subclasses"``.
    """

    loss_type: ClassVar[type[nn.Module]]
    finds: ClassVar[str]

    def check(self, model: Any, dataset: Dataset) -> None:
        """Check the loss, and that the samples say which image they are.

        Args:
            model (nn.Module): The classifier, without wrappers.
            dataset (Dataset): The training set.
        """
        loss = getattr(model.head, "loss_module", None)
        if not isinstance(loss, self.loss_type):
            name = self.loss_type.__name__
            raise UserInputError(
                f"{type(self).__name__} finds the {self.finds} of {name}, but the loss of the model is "
                f"{type(loss).__name__}; set model.head.loss.type={name!r}, or another task of ReclusterHook."
            )
        check_sample_index(dataset)

    def is_done(self, model: Any) -> bool:
        """Check whether the loss has a clustering.

        Args:
            model (nn.Module): The classifier, without wrappers.
        """
        return bool(model.head.loss_module.is_ready)

    def forget_images(self, model: Any) -> None:
        """Empty the buffers of the loss, which have an entry for each image.

        Args:
            model (nn.Module): The classifier, without wrappers.
        """
        for module in model.head.loss_module.modules():
            if isinstance(module, DataSizedModule):
                module.forget_data()

    def gather_projections(self, model: Any, feature_pass: FeaturePass) -> Tensor:
        """Compute the projections of all images, by the encoder that the model clusters with.

        Args:
            model (nn.Module): The classifier, without wrappers.
            feature_pass (FeaturePass): The training set and how to run over it.

        Returns:
            Tensor: Unit rows in the order of the dataset, shape ``(N, D)``.
        """

        def extract(batch: dict[str, Any]) -> Tensor:
            projections: Tensor = model.extract_projections(model.data_preprocessor(batch, training=False)["inputs"])
            return projections

        return feature_pass.gather(extract, self.finds)
