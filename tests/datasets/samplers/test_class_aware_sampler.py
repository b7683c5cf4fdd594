"""Every class equally often, and within a class every image equally often."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import DefaultSampler

from lt_plugins.datasets.samplers import ClassAwareSampler
from lt_plugins.errors import UserInputError
from tests.gloo import run_gloo
from tests.small_runs import MakeRunner, make_runner  # noqa: F401 (a fixture)


class Labelled:
    """A dataset of labels alone."""

    def __init__(self, labels: list[int]) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def get_gt_labels(self) -> list[int]:
        return self.labels


def order_of(labels: list[int], **options: Any) -> list[int]:
    return list(ClassAwareSampler(Labelled(labels), **{"seed": 0, **options}))


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.integers(0, 6), min_size=1, max_size=60),
    per_class=st.integers(1, 5),
    num_samples=st.integers(1, 300),
    seed=st.integers(0, 2**32),
)
def test_what_an_epoch_is(labels: list[int], per_class: int, num_samples: int, seed: int) -> None:
    """Turns of classes in shuffled rounds; within a class, rounds over its images."""
    order = order_of(labels, samples_per_class=per_class, num_samples=num_samples, seed=seed)
    assert len(order) == num_samples
    turns = [order[i : i + per_class] for i in range(0, num_samples, per_class)]
    classes = [{labels[image] for image in turn} for turn in turns]
    assert all(len(names) == 1 for names in classes), "a turn belongs to one class"
    present = set(labels)
    for i in range(0, len(turns), len(present)):
        round_of_classes = [name for names in classes[i : i + len(present)] for name in names]
        assert len(set(round_of_classes)) == len(round_of_classes), "a class comes again when all have come"
    for name in present:
        images = [image for image in order if labels[image] == name]
        size = labels.count(name)
        for i in range(0, len(images), size):
            round_of_images = images[i : i + size]
            assert len(set(round_of_images)) == len(round_of_images), "an image comes again when all have come"


def test_head_and_tail_come_equally_often() -> None:
    labels = [0] * 1000 + [1] * 30 + [5] * 2
    counts = Counter(labels[image] for image in order_of(labels))
    assert len(order_of(labels)) == len(labels), "an epoch has the size of the dataset"
    assert max(counts.values()) - min(counts.values()) <= 4
    assert set(counts) == {0, 1, 5}


def test_full_length_lets_the_largest_class_come_as_a_whole() -> None:
    labels = [0] * 50 + [1] * 3 + [5] * 2
    order = order_of(labels, full_length=True)
    assert len(order) == 50 * 3, "the largest class times the classes with images"
    counts = Counter(labels[image] for image in order)
    assert max(counts.values()) - min(counts.values()) <= 4
    with pytest.raises(UserInputError, match="exclude each other"):
        order_of(labels, full_length=True, num_samples=7)


def test_rounds_are_shuffled_anew() -> None:
    labels = list(range(8)) * 2
    order = order_of(labels, samples_per_class=1, num_samples=80)
    rounds = [tuple(labels[image] for image in order[i : i + 8]) for i in range(0, 80, 8)]
    assert len(set(rounds)) == len(rounds)


def test_images_of_a_class_follow_each_other() -> None:
    labels = [0] * 40 + [1] * 40
    runs = [len(list(run)) for _, run in groupby(order_of(labels, num_samples=80), key=lambda image: labels[image])]
    assert set(runs) <= {4, 8}, "8 where a round ends with the class that the next begins with"


def ranks_order(labels: list[int], epoch: int) -> list[int]:
    sampler = ClassAwareSampler(Labelled(labels))  # without a seed: the processes agree on one
    sampler.set_epoch(epoch)
    assert len(list(sampler)) == len(sampler)
    return [sampler.seed, *sampler]


def test_labels_stand_in_for_a_dataset() -> None:
    labels = np.array([0] * 9 + [1] * 4)
    assert list(ClassAwareSampler(labels, seed=3)) == order_of(labels.tolist(), seed=3)


def test_two_processes_share_one_order(tmp_path: Path) -> None:
    labels = [0] * 9 + [1] * 4
    (seed, *first), (other_seed, *second) = run_gloo(ranks_order, labels, 3, folder=tmp_path)
    assert seed == other_seed
    assert len(first) == len(second) == 7, "13 images, rounded up"
    alone = ClassAwareSampler(Labelled(labels), num_samples=14, seed=seed)
    alone.set_epoch(3)
    assert np.stack([first, second], axis=1).ravel().tolist() == list(alone)


def test_built_by_the_runner_it_follows_epoch_and_seed(make_runner: MakeRunner) -> None:  # noqa: F811
    overrides = {"train_dataloader.sampler": {"type": "ClassAwareSampler", "_delete_": True}, "randomness.seed": 7}
    runner = make_runner(**overrides, **{"train_cfg.max_epochs": 2})
    assert not isinstance(runner.train_dataloader.sampler, DefaultSampler)
    runner.train()
    sampler = runner.train_dataloader.sampler
    assert (sampler.seed, sampler.epoch) == (7, 1)
    assert len(sampler) == len(runner.train_dataloader.dataset)


@pytest.mark.parametrize("bad", [{"samples_per_class": 0}, {"num_samples": 0}])
def test_settings_without_meaning_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(UserInputError, match="must be positive"):
        order_of([0, 1], **bad)


def test_a_data_set_without_images_is_refused() -> None:
    with pytest.raises(UserInputError, match="without images"):
        order_of([])
