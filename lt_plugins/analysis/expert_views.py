"""Views of unlabelled images for the test-time weights of experts: two augmented passes over a test set."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config
from torch import Tensor
from torch.utils.data import Dataset

from lt_plugins.datasets.pipelines import loader_pipeline, replace_pipeline
from lt_plugins.engine.features import gather_features
from lt_plugins.engine.seeding import seed_generators
from lt_plugins.errors import UserInputError
from lt_plugins.posthoc import ExpertViews


class SeededView(Dataset):
    """Dataset whose images are augmented by a random state of their own, with any number of data-loader workers.

    Args:
        dataset (Dataset): The dataset, with random transforms.
        view (int): Which draw of them.
    """

    def __init__(self, dataset: Any, view: int) -> None:
        self.dataset = dataset
        self.view = view

    def __len__(self) -> int:
        """Number of images."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        """Load an image.

        Args:
            index (int): Its position.
        """
        seed_generators(self.view, index, cuda=False)
        return self.dataset[index]


def find_view_pipeline(cfg: Config) -> list[dict]:
    """Transforms of a view: ``view_pipeline`` of a config, or else those of its training.

    Args:
        cfg (Config): The config.

    Raises:
        UserInputError: If it has neither, or an image becomes several views by them.
    """
    pipeline = cfg.get("view_pipeline")
    if pipeline is None:
        pipeline = loader_pipeline(cfg.get("train_dataloader"))
    if not pipeline or any(step.get("type") == "MultiView" for step in pipeline):
        raise UserInputError(
            "expert-weights needs transforms that make one random view of an image, and the config has no "
            "view_pipeline, nor training transforms without MultiView; add view_pipeline = [dict(type='LoadImage'), "
            "..., dict(type='PackInputs')]."
        )
    return pipeline


def gather_expert_views(model: Any, dataset: Dataset, cfg: Config, *, batch_size: int, num_workers: int) -> ExpertViews:
    """Compute the logits of a model's experts for two views of each image of a dataset, on every rank.

    The learning rate and weight decay of the weights are those of the training, as released.

    Args:
        model (nn.Module): The model without wrappers, in evaluation mode, with a ``MultiExpertHead``.
        dataset (Dataset): The images.
        cfg (Config): The config, which has the transforms of a view and the optimiser.
        batch_size (int): Images a batch.
        num_workers (int): Data-loader workers.

    Raises:
        UserInputError: If there are no transforms for a view.
    """
    head = model.head
    augmented = replace_pipeline(dataset, find_view_pipeline(cfg))

    def extract(batch: dict[str, Any]) -> Tensor:
        images = model.data_preprocessor(batch, training=False)["inputs"]
        return head.expert_logits(head.pre_logits(model.extract_feat(images)))

    first, second = (
        gather_features(
            extract,
            SeededView(augmented, number),
            batch_size=batch_size,
            num_workers=num_workers,
            description=f"view {number} of the test images",
        )
        for number in (1, 2)
    )
    optimizer = (cfg.get("optim_wrapper") or {}).get("optimizer") or {}
    plain = ExpertViews(first, second, head.expert_biases().float().cpu())
    lr, weight_decay = optimizer.get("lr", plain.lr), optimizer.get("weight_decay", plain.weight_decay)
    return plain._replace(lr=float(lr), weight_decay=float(weight_decay))
