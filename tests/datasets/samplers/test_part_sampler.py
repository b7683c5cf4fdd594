"""A sampler on one part of a concatenated dataset."""

from __future__ import annotations

import numpy as np
import pytest
from mmengine.dataset import ConcatDataset
from torch.utils.data import ConcatDataset as TorchConcatDataset
from torch.utils.data import Subset

from lt_plugins.datasets.indexed_dataset import IndexedDataset
from lt_plugins.datasets.samplers import ClassBalancedSampler, PartSampler
from lt_plugins.errors import UserInputError
from tests.datasets.arrays import ArrayDataset

PARTS = [ArrayDataset([0, 0, 0, 1]), ArrayDataset([1, 0, 2]), ArrayDataset([2, 2])]
JOINED = ConcatDataset(PARTS)


@pytest.mark.parametrize("dataset", [JOINED, IndexedDataset(JOINED), TorchConcatDataset(PARTS)])
def test_it_gives_the_images_of_its_part(dataset: ConcatDataset) -> None:
    for part, start in enumerate((0, 4, 7)):
        sampler = PartSampler(dataset, {"type": "ClassBalancedSampler"}, part, seed=3)
        alone = ClassBalancedSampler(PARTS[part], seed=3)
        for epoch in range(3):
            for one in (sampler, alone):
                one.set_epoch(epoch)
            assert list(sampler) == [index + start for index in alone]
            assert len(sampler) == len(PARTS[part])
        sampler.seed = alone.seed = 4
        assert list(sampler) == [index + start for index in alone]


def test_what_has_no_such_part_is_refused() -> None:
    with pytest.raises(
        UserInputError, match="part=3 of ConcatDataset, whose number of parts is 3: give one from 0 to 2"
    ):
        PartSampler(JOINED, {"type": "ClassBalancedSampler"}, 3)
    shuffled = Subset(JOINED, np.arange(9)[::-1].tolist())
    for dataset in (PARTS[0], shuffled):
        with pytest.raises(UserInputError, match="whose number of parts is 1"):
            PartSampler(dataset, {"type": "ClassBalancedSampler"}, 1)
