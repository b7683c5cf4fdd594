"""The preprocessor of all classifiers computes what mmpretrain's does, bit for bit, and takes a batch as a whole."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.structures import DataSample, MultiTaskDataSample
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.classifiers import ImageBatchPreprocessor
from lt_plugins.models.structures import ClassDistribution, LabelBatch
from tests.battery import samples

SETTINGS = {"mean": [125.3, 122.9, 113.8], "std": [51.6, 50.8, 51.2], "to_rgb": True, "num_classes": 5}
LABELS = torch.tensor([3, 0, 4, 4, 1, 2])
MIXUP, CUTMIX = {"type": "Mixup", "alpha": 0.8}, {"type": "CutMix", "alpha": 1.0}
AUGMENTS: dict[str, dict[str, Any]] = {
    "none": {},
    "one-hot": {"to_onehot": True},
    "mixup": {"batch_augments": {"augments": MIXUP}},
    "cutmix": {"batch_augments": {"augments": CUTMIX}},
    "either or neither": {"batch_augments": {"augments": [MIXUP, CUTMIX], "probs": [0.4, 0.3]}},
}


def images(size: tuple[int, int] = (8, 10), seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (6, 3, *size), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def both(data: Any, training: bool = True, **settings: Any) -> list[dict]:
    """What mmpretrain's and ours make of the same data, from the same random state."""
    results = []
    for kind in (ClsDataPreprocessor, ImageBatchPreprocessor):
        np.random.seed(3)  # noqa: NPY002 (which mmpretrain draws from)
        torch.manual_seed(3)
        given = copy.deepcopy({**SETTINGS, **settings})  # mmpretrain writes into the list of probabilities
        results.append(kind(**given)(data(), training))
    return results


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("augments", AUGMENTS)
@pytest.mark.parametrize("as_list", [True, False])
def test_bits_are_those_of_mmpretrain(augments, training, as_list):
    for seed in range(3 if "neither" in augments else 1):
        batch = images(seed=seed)

        def data(batch=batch):
            return {"inputs": list(batch) if as_list else batch.clone(), "data_samples": samples(LABELS)}

        theirs, ours = both(data, training, **AUGMENTS[augments])
        assert torch.equal(theirs["inputs"], ours["inputs"])
        found = ours["data_samples"]
        assert isinstance(found, LabelBatch)
        assert torch.equal(found.labels, LABELS) and found.sample_idx.tolist() == list(range(6))
        for one, other in zip(theirs["data_samples"], found, strict=True):
            assert one.keys() == other.keys()
            for key in one.keys():  # noqa: SIM118 (iterating over a sample gives nothing)
                assert torch.equal(one.get(key), other.get(key)), key
            assert one.metainfo == other.metainfo


@pytest.mark.parametrize("pad", [{}, {"pad_size_divisor": 16, "pad_value": 7}])
@pytest.mark.parametrize("sizes", [[(8, 10)] * 6, [(8, 10), (9, 5)] * 3])
def test_lists_of_images_of_any_size(sizes, pad):
    given = [images(size, seed)[0] for seed, size in enumerate(sizes)]
    theirs, ours = both(lambda: {"inputs": list(given), "data_samples": samples(LABELS)}, **pad)
    assert torch.equal(theirs["inputs"], ours["inputs"])


@pytest.mark.parametrize("as_list", [True, False])
def test_each_view_is_normalised_as_a_single_one(as_list):
    views = [images(seed=seed) for seed in (0, 1)]
    given = [list(view) for view in views] if as_list else views
    found = ImageBatchPreprocessor(**SETTINGS)({"inputs": given, "data_samples": samples(LABELS)}, training=True)
    assert isinstance(found["inputs"], list)
    for view, out in zip(views, found["inputs"], strict=True):
        assert torch.equal(out, ClsDataPreprocessor(**SETTINGS)({"inputs": view})["inputs"])


def test_images_without_labels():
    preprocessor = ImageBatchPreprocessor(**SETTINGS)
    assert preprocessor({"inputs": images()})["data_samples"] is None
    unlabelled = [DataSample(metainfo={"img_path": str(i)}) for i in range(6)]
    found = preprocessor({"inputs": images(), "data_samples": unlabelled})["data_samples"]
    assert isinstance(found, LabelBatch) and found.labels is None and found[4] is unlabelled[4]


def test_a_batch_of_labels_is_taken_as_it_is():
    given = LabelBatch(LABELS, sample_idx=torch.arange(6))
    mixing = ImageBatchPreprocessor(**SETTINGS, batch_augments={"augments": MIXUP})
    for training in (True, False):
        np.random.seed(0)  # noqa: NPY002 (which mmpretrain draws from)
        found = mixing({"inputs": images(), "data_samples": given}, training)["data_samples"]
        assert torch.equal(found.labels, LABELS)
        assert torch.allclose(found.scores.sum(dim=1).float(), torch.ones(6))
        assert bool((found.scores.gt(0).sum(dim=1) > 1).any()) == training


def test_other_samples_are_left_to_mmpretrain():
    several = [[0, 2], [1], [3, 4], [0], [1], [2]]
    for training in (True, False):
        theirs, ours = both(
            lambda: {"inputs": images(), "data_samples": [DataSample().set_gt_label(label) for label in several]},
            training,
            batch_augments={"augments": MIXUP},
        )
        assert torch.equal(theirs["inputs"], ours["inputs"])
        for one, other in zip(theirs["data_samples"], ours["data_samples"], strict=True):
            assert torch.equal(one.gt_score, other.gt_score) and torch.equal(one.gt_label, other.gt_label)
    tasks = [MultiTaskDataSample() for _ in range(6)]
    kept = ImageBatchPreprocessor(**SETTINGS)({"inputs": images(), "data_samples": tasks})["data_samples"]
    assert all(isinstance(sample, MultiTaskDataSample) for sample in kept)


def test_the_number_of_classes_may_come_from_the_samples():
    preprocessor = ImageBatchPreprocessor(to_onehot=True)
    with pytest.raises(UserInputError, match=r"data_preprocessor\.num_classes is not set"):
        preprocessor({"inputs": images(), "data_samples": samples(LABELS)})
    known = samples(LABELS)
    for sample in known:
        sample.set_metainfo({"num_classes": 5})
    scores = preprocessor({"inputs": images(), "data_samples": known})["data_samples"].scores
    assert torch.equal(scores, torch.eye(5)[LABELS].long())


def test_several_views_are_not_mixed():
    mixing = ImageBatchPreprocessor(**SETTINGS, batch_augments={"augments": MIXUP})
    with pytest.raises(UserInputError, match="mix one view of each image, and the train pipeline gives 2"):
        mixing({"inputs": [images(), images()], "data_samples": samples(LABELS)}, training=True)


def test_cmo_leaves_the_first_half_of_a_batch():
    """Whatever the labels come as; without training there are no foregrounds."""
    preprocessor = ImageBatchPreprocessor(**SETTINGS, batch_augments={"augments": {"type": "CMO", "prob": 1.0}})
    plain = ImageBatchPreprocessor(**SETTINGS)({"inputs": images()})["inputs"]
    for given in (samples(LABELS), LabelBatch(LABELS, sample_idx=torch.arange(6))):
        preprocessor.mixing[0].set_seed(1)
        batch = preprocessor({"inputs": images(), "data_samples": given}, training=True)
        found, labels = batch["inputs"], batch["data_samples"]
        is_cut = found != plain[:3]
        assert found.shape == (3, 3, 8, 10) and is_cut.any()
        assert torch.equal(found[is_cut], plain[3:][is_cut])
        assert len(labels) == 3 and labels.labels.tolist() == [3, 0, 4] and labels.sample_idx.tolist() == [0, 1, 2]
        foreground = is_cut.any(dim=(0, 1)).float().mean()
        assert torch.allclose(labels.target[0], torch.tensor([0, 0, 0, 1 - foreground, foreground]))
        evaluated = preprocessor({"inputs": images(), "data_samples": given})
        assert torch.equal(evaluated["inputs"], plain) and len(evaluated["data_samples"]) == 6


def test_cmo_is_no_choice_among_several():
    for augments in ({"augments": [{"type": "CMO"}, MIXUP]}, {"augments": {"type": "CMO"}, "probs": 0.5}):
        with pytest.raises(UserInputError, match=r"CMO takes every batch, .* give it alone"):
            ImageBatchPreprocessor(**SETTINGS, batch_augments=augments)


def test_hooks_find_what_mixes():
    """The class counts of Remix are state of the preprocessor, also in a copy, and of whatever size they come."""
    mixing = {"augments": [{"type": "Remix"}, MIXUP], "probs": [0.5, 0.5]}
    preprocessor = ImageBatchPreprocessor(**SETTINGS, batch_augments=mixing)
    [distribution] = [part for part in preprocessor.modules() if isinstance(part, ClassDistribution)]
    distribution.set_counts([9, 5, 3, 2, 1])
    twin = copy.deepcopy(preprocessor)
    assert twin.mixing[0] is twin.batch_augments.augments[0]
    other = ImageBatchPreprocessor(**SETTINGS, batch_augments={"augments": {"type": "Remix"}})
    other.load_state_dict(preprocessor.state_dict())
    assert other.batch_augments.augments[0].class_distribution.counts.tolist() == [9, 5, 3, 2, 1]
    assert not ImageBatchPreprocessor(**SETTINGS, batch_augments={"augments": MIXUP}).state_dict()
