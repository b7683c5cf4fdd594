"""Queries of a page: images, classes and numbers that the user asks about, checked and read."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import mmcv
import torch
from mmengine.config import Config
from torch import Tensor

from lt_plugins.analysis.page import AnalysisPage, all_class_names, loader_settings
from lt_plugins.analysis.trained_model import TrainedModel, build_plain_dataset
from lt_plugins.datasets.leaf_table import build_leaf_table
from lt_plugins.errors import UserInputError
from lt_plugins.visualization import FigurePage


class Queries(NamedTuple):
    """Queries of a user, read.

    Args:
        images (list[tuple[Path, Tensor]]): Images, BGR uint8 ``(3, H, W)``, with their files.
        classes (list[int]): Labels of classes.
        numbers (list[int]): Attributes or latent categories.
    """

    images: list[tuple[Path, Tensor]]
    classes: list[int]
    numbers: list[int]

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return any(self)


class QueryPage(AnalysisPage):
    """Base class of the pages that search a dataset for images of attributes or latent categories.

    Attributes:
        numbered (str): Option that takes numbers of attributes or latent categories.
    """

    numbered: ClassVar[str]

    def check_options(self) -> None:
        """Refuse numbers of images that are not positive.

        Raises:
            UserInputError: If there is one.
        """
        if min(self.options.top, self.options.max_per_class) < 1:
            raise UserInputError(
                f"--top {self.options.top} and --max-per-class {self.options.max_per_class} must be 1 or more."
            )

    def write(self, cfg: Config, trained: TrainedModel, run: str, out_dir: Path | None = None) -> str:
        """Write the page, see :meth:`AnalysisPage.write`."""
        options = self.options
        numbers = list(getattr(options, self.numbered))
        check_numbers(f"--{self.numbered}", numbers, self.count(cfg, trained))
        dataset = build_plain_dataset(cfg, options.split, trained)
        names = all_class_names(dataset, trained.model.head.num_classes)
        classes = [self.find_class(query, names, trained, dataset) for query in options.classes]
        queries = Queries([(path, load_image(path, dataset)) for path in options.images], classes, numbers)
        page = self.open(trained, run, out_dir, options.images)
        self.fill(page, trained, dataset, queries, loader_settings(cfg, options.split))
        return page.finish()

    @abstractmethod
    def count(self, cfg: Config, trained: TrainedModel) -> int:
        """Number of attributes or latent categories of a model.

        Args:
            cfg (Config): As for :meth:`write`.
            trained (TrainedModel): As for :meth:`write`.

        Raises:
            UserInputError: If there are none yet.
        """

    @abstractmethod
    def find_class(self, query: str, names: Sequence[str], trained: TrainedModel, dataset: Any) -> int:
        """Label of a query class.

        Args:
            query (str): Its name or number.
            names (Sequence[str]): Class names, ``C`` of them.
            trained (TrainedModel): As for :meth:`write`.
            dataset (Dataset): The searched set.

        Raises:
            UserInputError: If there is no such class, or nothing to show of it.
        """

    @abstractmethod
    def fill(
        self, page: FigurePage, trained: TrainedModel, dataset: Any, queries: Queries, loader: dict[str, Any]
    ) -> None:
        """Search the dataset and write all sections.

        Args:
            page (FigurePage): Where the sections go.
            trained (TrainedModel): As for :meth:`write`.
            dataset (Dataset): The searched set.
            queries (Queries): What is asked for.
            loader (dict[str, Any]): ``batch_size`` and ``num_workers`` of the search.
        """


def check_numbers(option: str, numbers: Sequence[int], size: int) -> None:
    """Refuse numbers of attributes or latent categories that the model does not have.

    Args:
        option (str): The option that took them.
        numbers (Sequence[int]): What it took.
        size (int): How many the model has.

    Raises:
        UserInputError: If one is out of range.
    """
    if bad := [number for number in numbers if not 0 <= number < size]:
        raise UserInputError(f"{option} {bad[0]} is out of range; the model has 0 to {size - 1}.")


def find_label(query: str, names: Sequence[str]) -> int:
    """Label of a class that is given by name or number.

    Args:
        query (str): What ``--classes`` was given.
        names (Sequence[str]): Class names, ``C`` of them.

    Raises:
        UserInputError: If there is no such class.
    """
    if query in names:
        return names.index(query)
    if re.fullmatch(r"-?\d+", query):
        if not 0 <= int(query) < len(names):
            raise UserInputError(f"--classes {query} is out of range; the model has classes 0 to {len(names) - 1}.")
        return int(query)
    near = get_close_matches(query, names, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names[:5])}, ..."
    raise UserInputError(f"--classes {query!r} is no class of the dataset; {hint}")


def load_image(path: Path, dataset: Any) -> Tensor:
    """Read an image through the pipeline of a dataset.

    A pipeline that does not resize (CIFAR) would leave a photograph large, and the model has learned nothing about
    patterns of that scale; so the image gets the size of those of the dataset.

    Args:
        path (Path): The image file.
        dataset (Dataset): The dataset, with the test pipeline.

    Returns:
        Tensor: BGR uint8 ``(3, H, W)``.

    Raises:
        UserInputError: If the file is missing or no image.
    """
    if not path.is_file():
        raise UserInputError(f"image {path} does not exist.")
    inputs: Tensor = build_leaf_table(dataset).leaves[0].pipeline({"img_path": str(path)})["inputs"]
    height, width = dataset[0]["inputs"].shape[1:]
    if inputs.shape[1:] == (height, width):
        return inputs
    resized = mmcv.imresize(inputs.numpy().transpose(1, 2, 0), (width, height), interpolation="area")
    return torch.from_numpy(resized.transpose(2, 0, 1).copy())
