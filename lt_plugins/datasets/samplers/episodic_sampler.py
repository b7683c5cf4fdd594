"""Episodic sampler: few-shot tasks among the classes that have many images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from lt_plugins.datasets.samplers.epoch_sampler import EpochSampler
from lt_plugins.errors import UserInputError
from lt_plugins.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class EpisodicSampler(EpochSampler):
    """Episodic sampler: gives episodes, in each of which a few base classes play novel ones.

    Base classes are those with ``few_threshold`` images or more; images of other classes never come. An episode is
    ``episode_size`` indices in a row: the exemplars of ``num_novel`` classes, ``num_exemplars`` of each, then the
    queries, ``novel_queries`` other images of each of these classes and ``base_queries`` images of the remaining base
    classes, drawn from each equally often. No image comes twice in an episode, unless a base class has fewer images
    than queries. A batch is one or more whole episodes; the ranks take turns by episodes.

    Source: Gidaris & Komodakis, "Dynamic Few-Shot Visual Learning without Forgetting" (CVPR 2018), section 3.3; sizes
    of an episode as in their released code on miniImageNet.

    Args:
        dataset: A dataset in any nesting of wrappers, or its labels as an array or tensor ``(N,)``, see
            :func:`~lt_plugins.datasets.labels.get_labels`.
        num_novel (int): Base classes that play novel ones in an episode. Defaults to 5.
        num_exemplars (int): Images of each of them that its weights are generated from. Defaults to 5.
        novel_queries (int): Images of each of them that are classified. Defaults to 3.
        base_queries (int): Images of the other base classes that are classified, in all. Defaults to 15.
        few_threshold (int): Images from which on a class is base. Defaults to 20: many- and medium-shot classes.
        num_samples (int, optional): Images an epoch, of all ranks together; rounded up so that each rank has the same
            number of episodes. Defaults to the size of the dataset.
        seed (int, optional): The same on all ranks. Defaults to one drawn from torch's global generator.

    Raises:
        UserInputError: If a number is out of range, there are no more base classes than play novel ones, or a base
            class has too few images for exemplars and queries.

    Examples:
        >>> train_dataloader = dict(batch_size=55, sampler=dict(type='EpisodicSampler'))
        >>> sampler = EpisodicSampler(labels, num_exemplars=1)
        >>> loader = DataLoader(dataset, batch_size=4 * sampler.episode_size, sampler=sampler)
    """

    def __init__(
        self,
        dataset: Any,
        num_novel: int = 5,
        num_exemplars: int = 5,
        novel_queries: int = 3,
        base_queries: int = 15,
        few_threshold: int = 20,
        num_samples: int | None = None,
        seed: int | None = None,
    ) -> None:
        if min(num_novel, num_exemplars, few_threshold) < 1 or min(novel_queries, base_queries) < 0:
            raise UserInputError(
                f"num_novel={num_novel}, num_exemplars={num_exemplars} and few_threshold={few_threshold} must be 1 or "
                f"more, novel_queries={novel_queries} and base_queries={base_queries} 0 or more."
            )
        if not novel_queries + base_queries:
            raise UserInputError("an episode without queries trains nothing; give novel_queries or base_queries.")
        self.num_novel = num_novel
        self.num_exemplars = num_exemplars
        self.novel_queries = novel_queries
        self.base_queries = base_queries
        super().__init__(dataset, num_samples, seed)
        classes, counts = np.unique(self.labels, return_counts=True)
        self.base_classes = classes[counts >= few_threshold]
        if len(self.base_classes) <= num_novel:
            raise UserInputError(
                f"{len(self.base_classes)} classes have few_threshold={few_threshold} images or more, too few for "
                f"num_novel={num_novel} of an episode and others beside them; give a smaller one of the two."
            )
        self._images = [np.flatnonzero(self.labels == label) for label in self.base_classes]
        fewest = min(map(len, self._images))
        if fewest < num_exemplars + novel_queries:
            raise UserInputError(
                f"a base class has {fewest} images, fewer than num_exemplars={num_exemplars} and "
                f"novel_queries={novel_queries} together; give smaller ones, or a larger few_threshold."
            )

    @property
    def exemplars_per_episode(self) -> int:
        """Exemplars of an episode, which come first."""
        return self.num_novel * self.num_exemplars

    @property
    def queries_per_episode(self) -> int:
        """Queries of an episode, which follow."""
        return self.num_novel * self.novel_queries + self.base_queries

    @property
    def episode_size(self) -> int:
        """Images of an episode."""
        return self.exemplars_per_episode + self.queries_per_episode

    def set_num_samples(self, num_samples: int) -> None:
        """Set the length of an epoch.

        Args:
            num_samples (int): Images of all ranks together; rounded up so that each rank has the same number of
                episodes.

        Raises:
            UserInputError: If it is not positive.
        """
        super().set_num_samples(num_samples)
        turn = self.episode_size * self.world_size
        self.total_size = math.ceil(num_samples / turn) * turn

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """Draw the episodes of an epoch.

        Args:
            generator (numpy.random.Generator): Seeded with seed and epoch, the same on all ranks.

        Returns:
            numpy.ndarray: Indices in the dataset, int64, shape ``(total_size,)``, one episode behind the other.
        """
        return np.concatenate([self._episode(generator) for _ in range(self.total_size // self.episode_size)])

    def __iter__(self) -> Iterator[int]:
        """Indices of this rank's images in the dataset."""
        episodes = self.draw(np.random.default_rng([self.seed, self.epoch])).reshape(-1, self.episode_size)
        return iter(episodes[self.rank :: self.world_size].ravel().tolist())

    def _episode(self, generator: np.random.Generator) -> np.ndarray:
        """Indices of one episode, ``(episode_size,)``."""
        places = generator.permutation(len(self.base_classes))
        size = self.num_exemplars + self.novel_queries
        novel = np.stack([generator.choice(self._images[c], size, replace=False) for c in places[: self.num_novel]])
        drawn = generator.choice(places[self.num_novel :], self.base_queries)
        base = [
            generator.choice(self._images[c], number, replace=number > len(self._images[c]))
            for c, number in zip(*np.unique(drawn, return_counts=True), strict=True)
        ]
        return np.concatenate([*novel[:, : self.num_exemplars], *novel[:, self.num_exemplars :], *base])
