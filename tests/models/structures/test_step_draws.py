"""Random numbers of a step: which follow from what, and who shares them."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from lt_plugins.models.structures import StepDraws


def take(draws: StepDraws) -> float:
    return draws.draw(lambda generator: float(generator.random()))


def started(seed: int = 3, epoch: int = 2) -> StepDraws:
    draws = StepDraws()
    draws.set_seed(seed)
    assert draws.set_epoch(epoch, 10) is None
    return draws


def test_numbers_follow_from_seed_epoch_and_step_alone() -> None:
    draws = started()
    epoch = [take(draws) for _ in range(4)]
    assert len(set(epoch)) == 4
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 (the generators of a process)
    assert [take(started()) for _ in range(2)] == [epoch[0]] * 2
    draws.set_epoch(2, 10)
    assert [take(draws) for _ in range(4)] == epoch, "a resumed training draws the numbers of its epoch"
    assert take(started(epoch=3)) != epoch[0] != take(started(seed=4))


def test_the_seed_of_a_checkpoint_may_come_after_the_epoch() -> None:
    late = StepDraws()
    late.set_epoch(2, 10)
    late.set_seed(3)
    assert take(late) == take(started())


def test_they_are_not_those_of_a_sampler() -> None:
    """Which begins at the same seed and epoch."""
    assert take(started()) != np.random.default_rng([3, 2]).random()


def test_all_batches_of_a_step_share_them() -> None:
    plain, accumulating = started(), started()
    expected = [take(plain) for _ in range(3)]
    found = []
    for _ in range(3):
        for batch in range(2):
            accumulating.starts_step, accumulating.ends_step = batch == 0, batch == 1
            found.append(take(accumulating))
    assert found == [number for number in expected for _ in range(2)]


def test_the_second_pass_of_a_step_repeats_them() -> None:
    draws = started()
    first = take(draws)
    draws.starts_step, draws.repeats_batch = False, True
    assert take(draws) == first
    draws.starts_step, draws.repeats_batch = True, False
    assert take(draws) != first


@pytest.mark.parametrize("steps", [0, 2])
def test_a_copy_goes_on_by_itself(steps: int) -> None:
    draws = started()
    for _ in range(steps):
        take(draws)
    twin = copy.deepcopy(draws)
    assert take(twin) == take(draws)
