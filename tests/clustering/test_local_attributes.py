from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_plugins.clustering import ClassAttributeTable, class_balanced_sample, match_prototypes
from lt_plugins.errors import UserInputError

labels_and_size = st.tuples(
    st.lists(st.integers(0, 6), min_size=1, max_size=80), st.integers(1, 90), st.integers(0, 1000)
)


def slow_balanced_sample(labels: list[int], num_samples: int, seed: int) -> list[int]:
    """Deal rounds in a random order: each round takes at most one image of each class."""
    waiting = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed)).tolist()
    chosen: list[int] = []
    while waiting and len(chosen) < num_samples:
        in_this_round: list[int] = []
        later: list[int] = []
        for index in waiting:
            taken = {labels[other] for other in in_this_round}
            (later if labels[index] in taken else in_this_round).append(index)
        chosen += in_this_round
        waiting = later
    return sorted(chosen[:num_samples])


@given(labels_and_size)
@settings(max_examples=100, deadline=None)
def test_sample_deals_one_image_of_each_class_a_round(case: tuple[list[int], int, int]) -> None:
    labels, num_samples, seed = case
    chosen = class_balanced_sample(torch.tensor(labels), num_samples, seed)
    assert chosen.tolist() == slow_balanced_sample(labels, num_samples, seed)


@given(labels_and_size)
@settings(max_examples=100, deadline=None)
def test_no_class_has_more_than_another_unless_that_has_run_out(case: tuple[list[int], int, int]) -> None:
    labels, num_samples, seed = case
    chosen = class_balanced_sample(torch.tensor(labels), num_samples, seed).tolist()
    assert len(set(chosen)) == len(chosen) == min(len(labels), num_samples)
    taken = {c: sum(labels[i] == c for i in chosen) for c in set(labels)}
    for one, other in itertools.permutations(taken, 2):
        exhausted = taken[other] == labels.count(other)
        assert taken[one] <= taken[other] + 1 or exhausted


def test_sample_follows_its_seed_and_nothing_else() -> None:
    labels = torch.arange(5).repeat(40)
    before = torch.get_rng_state()
    first = class_balanced_sample(labels, 50, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, class_balanced_sample(labels, 50, seed=1))
    assert not torch.equal(first, class_balanced_sample(labels, 50, seed=2))


def test_an_incomplete_round_does_not_prefer_the_first_classes() -> None:
    labels = torch.arange(10)
    drawn = torch.cat([class_balanced_sample(labels, 3, seed) for seed in range(200)])
    # 60 expected for each class; the deviation of a fair draw is 6.5.
    assert torch.bincount(drawn, minlength=10).min() > 30


def test_a_sample_of_nothing_is_refused() -> None:
    with pytest.raises(UserInputError, match="num_samples=0"):
        class_balanced_sample(torch.tensor([0]), 0, seed=0)


def directions(num: int, seed: int, dim: int = 5) -> torch.Tensor:
    return F.normalize(torch.randn(num, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_matching_recovers_shuffled_prototypes() -> None:
    old = directions(20, seed=0)
    shuffle = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    new = F.normalize(old[shuffle] + 0.01 * directions(20, seed=2), dim=1)
    permutation = match_prototypes(new, old)
    assert permutation.tolist() == shuffle.argsort().tolist()
    assert torch.allclose(new[permutation], old, atol=0.03)


@pytest.mark.parametrize("num", [1, 2, 5, 6])
@pytest.mark.parametrize("seed", range(3))
def test_matching_is_the_best_of_all_permutations(num: int, seed: int) -> None:
    old, new = directions(num, seed), directions(num, seed + 100)

    def total(permutation) -> float:
        return math.fsum(float(old[k].double() @ new[j].double()) for k, j in enumerate(permutation))

    found = match_prototypes(new, old).tolist()
    assert sorted(found) == list(range(num))
    assert total(found) == pytest.approx(max(map(total, itertools.permutations(range(num)))), abs=1e-12)


def test_class_scores_are_class_means_minus_their_mean_over_the_classes() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(60, 4, generator=generator)
    # Class 2 has no image; the classes differ in size.
    labels = torch.tensor([0] * 40 + [1] * 15 + [3] * 5)[torch.randperm(60, generator=generator)]
    table = ClassAttributeTable(num_classes=4, num_attributes=4)
    for batch in torch.arange(60).split(7):
        table.update(scores[batch], labels[batch])
    means: dict[int, list[float]] = {}
    for c in (0, 1, 3):
        rows = [row for row, label in zip(scores.tolist(), labels.tolist(), strict=True) if label == c]
        means[c] = [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)]
    common = [sum(column) / 3 for column in zip(*means.values(), strict=True)]
    expected = [[m - o for m, o in zip(means[c], common, strict=True)] if c in means else [0.0] * 4 for c in range(4)]
    assert table.class_scores().dtype == torch.float32
    assert torch.allclose(table.class_scores(), torch.tensor(expected), atol=1e-6)


def test_class_scores_do_not_depend_on_the_split_into_batches() -> None:
    scores = torch.rand(50, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(50) % 4
    tables = []
    for size in (1, 7, 50):
        table = ClassAttributeTable(4, 3)
        for batch in torch.arange(50).split(size):
            table.update(scores[batch], labels[batch])
        tables.append(table.class_scores())
    assert torch.equal(tables[0], tables[1])
    assert torch.equal(tables[0], tables[2])


def test_a_table_without_images_is_zero() -> None:
    assert torch.equal(ClassAttributeTable(3, 2).class_scores(), torch.zeros(3, 2))
