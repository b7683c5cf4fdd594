"""Episodes: which classes and images they hold, how often, and how processes share them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lt_plugins.datasets.samplers import EpisodicSampler
from lt_plugins.errors import UserInputError
from tests.gloo import run_gloo

COUNTS = [40, 7, 25, 3, 20, 19, 60]  # of which the classes 0, 2, 4, 6 are base
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(len(COUNTS)), COUNTS))
SIZES = {"num_novel": 2, "num_exemplars": 3, "novel_queries": 2, "base_queries": 5}


def episodes_of(epochs: int = 1, **options: Any) -> np.ndarray:
    sampler = EpisodicSampler(LABELS, **{**SIZES, "seed": 0, **options})
    found = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        found += list(sampler)
        assert len(list(sampler)) == len(sampler)
    return np.array(found).reshape(-1, sampler.episode_size)


@settings(max_examples=40, deadline=None)
@given(
    num_novel=st.integers(1, 3),
    num_exemplars=st.integers(1, 10),
    novel_queries=st.integers(0, 10),
    base_queries=st.integers(1, 30),
    num_samples=st.integers(1, 300),
    seed=st.integers(0, 2**32),
)
def test_what_an_episode_is(
    num_novel: int, num_exemplars: int, novel_queries: int, base_queries: int, num_samples: int, seed: int
) -> None:
    size = num_novel * (num_exemplars + novel_queries) + base_queries
    episodes = episodes_of(
        num_novel=num_novel,
        num_exemplars=num_exemplars,
        novel_queries=novel_queries,
        base_queries=base_queries,
        num_samples=num_samples,
        seed=seed,
    )
    assert episodes.shape == (-(-num_samples // size), size)
    for episode in episodes:
        exemplars, queries = np.split(episode, [num_novel * num_exemplars])
        by_class = Counter(LABELS[exemplars].tolist())
        assert set(by_class) <= {0, 2, 4, 6}
        assert [*by_class.values()] == [num_exemplars] * num_novel
        asked = Counter(LABELS[queries].tolist())
        assert all(asked[label] == novel_queries for label in by_class)
        assert set(asked) <= {0, 2, 4, 6}
        assert len(queries) == num_novel * novel_queries + base_queries
        counts = {label: LABELS.tolist().count(label) for label in asked}
        few = {label for label in asked if asked[label] > counts[label]}
        once = [image for image in episode if LABELS[image] not in few]
        assert len(set(once)) == len(once), "no image twice, where there are enough"


def test_classes_and_images_come_equally_often() -> None:
    episodes = episodes_of(40, num_samples=1700)
    novel = LABELS[episodes[:, :6:3]].ravel()
    assert stats.chisquare([np.count_nonzero(novel == c) for c in (0, 2, 4, 6)]).pvalue > 1e-3
    base = LABELS[episodes[:, 10:]].ravel()
    assert stats.chisquare([np.count_nonzero(base == c) for c in (0, 2, 4, 6)]).pvalue > 1e-3
    of_largest = np.bincount(episodes.ravel(), minlength=len(LABELS))[LABELS == 6]
    assert stats.chisquare(of_largest).pvalue > 1e-3


def test_the_threshold_decides_what_is_base() -> None:
    assert EpisodicSampler(LABELS, **SIZES).base_classes.tolist() == [0, 2, 4, 6]
    assert EpisodicSampler(LABELS, **SIZES, few_threshold=19).base_classes.tolist() == [0, 2, 4, 5, 6]
    assert EpisodicSampler(LABELS, **SIZES, few_threshold=21).base_classes.tolist() == [0, 2, 6]


def test_an_epoch_follows_from_seed_and_epoch() -> None:
    sampler, other = (EpisodicSampler(LABELS, **SIZES, seed=3) for _ in range(2))
    first = list(sampler)
    for part in (sampler, other):
        part.set_epoch(5)
    assert list(sampler) == list(other) != first


def ranks_episodes() -> list[int]:
    sampler = EpisodicSampler(LABELS, **SIZES, num_samples=50)  # without a seed: the processes agree on one
    sampler.set_epoch(2)
    assert len(list(sampler)) == len(sampler)
    return [sampler.seed, *sampler]


def test_processes_take_turns_by_episodes(tmp_path: Path) -> None:
    (seed, *first), (other_seed, *second) = run_gloo(ranks_episodes, folder=tmp_path)
    assert seed == other_seed
    assert len(first) == len(second) == 30, "50 images are four episodes of 15"
    alone = EpisodicSampler(LABELS, **SIZES, num_samples=60, seed=seed)
    alone.set_epoch(2)
    shared = np.stack([np.reshape(first, (-1, 15)), np.reshape(second, (-1, 15))], axis=1)
    assert shared.ravel().tolist() == list(alone)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_novel": 0}, "num_novel=0, num_exemplars=3 and few_threshold=20 must be 1 or more"),
        ({"base_queries": -1}, "base_queries=-1 0 or more"),
        ({"novel_queries": 0, "base_queries": 0}, "an episode without queries"),
        ({"num_novel": 4}, "4 classes have few_threshold=20 images or more, too few for num_novel=4"),
        ({"few_threshold": 4}, None),
        ({"few_threshold": 3}, "a base class has 3 images, fewer than num_exemplars=3 and novel_queries=2 together"),
        ({"num_samples": 0}, "num_samples=0 must be positive"),
    ],
)
def test_settings_without_meaning_are_refused(options: dict[str, int], message: str | None) -> None:
    if message is None:
        assert len(episodes_of(**options))
        return
    with pytest.raises(UserInputError, match=message):
        episodes_of(**options)
