"""The vectorised assignment is the greedy of Algorithm 1, pair by pair, ties included."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lt_plugins.clustering import balanced_assignment
from lt_plugins.errors import UserInputError


def greedy(similarity: list[list[float]], capacity: list[int]) -> list[int]:
    """Algorithm 1 by the letter: walk over all pairs, the most similar first."""
    pairs = [(-value, i, j) for i, row in enumerate(similarity) for j, value in enumerate(row)]
    assignment = [-1] * len(similarity)
    left = list(capacity)
    for _, i, j in sorted(pairs):
        if assignment[i] == -1 and left[j] > 0:
            assignment[i] = j
            left[j] -= 1
    return assignment


@st.composite
def problems(draw: st.DrawFn, max_samples: int = 14, max_centres: int = 5):
    """Similarities, many of them equal, and capacities that suffice, often just so."""
    n, m = draw(st.integers(0, max_samples)), draw(st.integers(1, max_centres))
    values = draw(
        st.sampled_from(
            [
                st.sampled_from([0.0, 1.0]),
                st.sampled_from([-1.0, -0.0, 0.0, 0.25, 1.0]),
                st.just(0.5),
                st.floats(-1, 1, width=32),
            ]
        )
    )
    similarity = draw(st.lists(st.lists(values, min_size=m, max_size=m), min_size=n, max_size=n))
    if draw(st.booleans()):
        return similarity, [max(1, -(-n // m))] * m
    capacity = draw(st.lists(st.integers(1, max_samples), min_size=m, max_size=m))
    capacity[draw(st.integers(0, m - 1))] += max(0, n - sum(capacity))
    return similarity, capacity


def tensor(similarity: list[list[float]], m: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.tensor(similarity, dtype=dtype).reshape(-1, m)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(problems())
@example(problem=([[0.5, 0.5]] * 4, [2, 2]))
@example(problem=([[1.0, 0.0], [1.0, 1.0], [1.0, 1.0]], [1, 2]))
@example(problem=([[0.1], [0.9], [0.5]], [3]))  # one centre
@example(problem=([[0.9, 0.8, 0.1], [0.95, 0.1, 0.2], [0.97, 0.96, 0.3]], [1, 1, 1]))  # a chain of refusals
@settings(max_examples=150, deadline=None)
def test_result_is_the_greedy_of_algorithm_1(dtype: torch.dtype, problem: tuple[list[list[float]], list[int]]) -> None:
    similarity, capacity = problem
    given_similarity = tensor(similarity, len(capacity), dtype)
    kept = given_similarity.clone()
    actual = balanced_assignment(given_similarity, torch.tensor(capacity))
    assert actual.dtype == torch.int64
    assert actual.tolist() == greedy(similarity, capacity)
    assert torch.equal(given_similarity, kept)


@given(st.lists(problems(8, 4), min_size=1, max_size=4), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_a_batch_of_masked_problems_is_each_problem_alone(problem_list, random) -> None:
    """Each problem sits at random places of a larger one; what is masked there must not matter, not even NaN."""
    n = max(len(similarity) for similarity, _ in problem_list) + 2
    m = max(len(capacity) for _, capacity in problem_list) + 1
    batch = torch.full((len(problem_list), n, m), math.nan)
    samples, centres = torch.zeros(batch.shape[:2], dtype=torch.bool), torch.zeros(len(batch), m, dtype=torch.bool)
    places = torch.randint(-1, 9, (len(batch), m), generator=torch.Generator().manual_seed(0))
    expected = torch.full((len(batch), n), -1)
    for b, (similarity, capacity) in enumerate(problem_list):
        rows, columns = sorted(random.sample(range(n), len(similarity))), sorted(random.sample(range(m), len(capacity)))
        samples[b, rows] = centres[b, columns] = True
        batch[b][torch.tensor(rows, dtype=torch.long)[:, None], torch.tensor(columns)] = tensor(
            similarity, len(capacity), torch.float32
        )
        places[b, columns] = torch.tensor(capacity)
        expected[b, rows] = torch.tensor([columns[j] for j in greedy(similarity, capacity)], dtype=torch.long)
    assert torch.equal(balanced_assignment(batch, places, samples, centres), expected)


@pytest.mark.parametrize("hubs", [0.0, 1.0, 5.0], ids=["no hub", "hubs", "one order of centres for all"])
@pytest.mark.parametrize(("n", "m", "capacity"), [(300, 30, 10), (301, 31, 10), (97, 97, 1), (200, 3, 150)])
def test_larger_problems(n: int, m: int, capacity: int, hubs: float) -> None:
    generator = torch.Generator().manual_seed(n)
    similarity = torch.rand(n, m, generator=generator) + hubs * torch.rand(m, generator=generator)
    actual = balanced_assignment(similarity, capacity).tolist()
    assert actual == greedy(similarity.tolist(), [capacity] * m)
    assert max(map(actual.count, range(m))) <= capacity


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_compared_as_it_is(dtype: torch.dtype) -> None:
    similarity = torch.rand(60, 7, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert balanced_assignment(similarity, 9).tolist() == greedy(similarity.tolist(), [9] * 7)


def test_one_capacity_for_all_or_one_for_each_centre_of_all_problems() -> None:
    similarity = torch.rand(3, 10, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(balanced_assignment(similarity, 3), balanced_assignment(similarity, torch.full((3, 4), 3)))
    each = torch.tensor([1, 2, 3, 4])
    assert torch.equal(balanced_assignment(similarity, each), balanced_assignment(similarity, each.expand(3, 4)))


def test_without_samples_there_is_nothing_to_assign() -> None:
    assert balanced_assignment(torch.zeros(0, 3), 1).shape == (0,)
    assert balanced_assignment(torch.zeros(0, 0), 1).shape == (0,)
    assert balanced_assignment(torch.zeros(2, 0, 3), 1).shape == (2, 0)


def test_gradient_of_the_similarity_is_not_wanted() -> None:
    assert not balanced_assignment(torch.rand(5, 2, requires_grad=True), 3).requires_grad


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(5), 1), r"shape \(n, m\) or \(B, n, m\), got torch.float32 \(5,\)"),
        ((torch.zeros(5, 2, dtype=torch.long), 3), "must be a floating tensor"),
        ((torch.zeros(5, 2), 2), "5 samples do not fit into centres of 4 places in total; raise the capacity"),
        ((torch.zeros(5, 0), 2), "5 samples do not fit into centres of 0 places"),
        ((torch.zeros(2, 3, 2), torch.tensor([[2, 2], [1, 1]])), "3 samples do not fit into centres of 2 places"),
        ((torch.zeros(5, 2), 0), "capacity=0 must be at least 1"),
        ((torch.zeros(5, 2), torch.tensor([9, -3])), "capacity=-3 must be at least 1"),
        ((torch.zeros(5, 2), torch.tensor([9])), r"integers of shape \(2,\), got torch.int64 \(1,\)"),
        ((torch.zeros(5, 2), 2.5), "capacity must be an integer"),
        ((torch.zeros(5, 2), 3, torch.ones(4, dtype=torch.bool)), r"sample_mask must be a bool tensor of shape \(5,\)"),
        ((torch.zeros(5, 2), 3, None, torch.ones(2)), r"centre_mask must be .* shape \(2,\), got torch.float32 \(2,\)"),
        ((torch.tensor([[0.0, math.nan]]), 1), "not finite"),
        ((torch.tensor([[0.0, -math.inf]]), 1), "not finite"),
    ],
)
def test_what_cannot_be_is_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        balanced_assignment(*arguments)
