"""Weights of learning from failure against a loop over images, in one process and in two."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.relative_difficulty import RelativeDifficulty, relative_difficulty
from tests.gloo import run_gloo

NUM_IMAGES, NUM_CLASSES, STEPS, BATCH = 17, 4, 9, 8
LABELS = torch.arange(NUM_IMAGES) % NUM_CLASSES


def drawn(step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images of a step, with repetitions, and their losses of both networks, each ``(BATCH,)``."""
    generator = torch.Generator().manual_seed(step)
    index = torch.randint(NUM_IMAGES, (BATCH,), generator=generator)
    biased, debiased = (4 * torch.rand(2, BATCH, generator=generator, dtype=torch.float64) ** 2).unbind()
    return index, biased, debiased


def new(momentum: float = 0.7) -> RelativeDifficulty:
    module = RelativeDifficulty(momentum).double()
    module.set_num_images(NUM_IMAGES)
    return module


def weigh(module: RelativeDifficulty, index: Tensor, biased: Tensor, debiased: Tensor) -> Tensor:
    return module(biased, debiased, LABELS[index], index, NUM_CLASSES)


def reference(momentum: float) -> list[list[float]]:
    """Weights of each step: image by image, class by class."""
    means: list[dict[int, float]] = [{}, {}]
    found = []
    for step in range(STEPS):
        index, *losses = (values.tolist() for values in drawn(step))
        for mean, values in zip(means, losses, strict=True):
            latest = dict(zip(index, values, strict=True))  # the last one of an image
            for i, value in latest.items():
                mean[i] = momentum * mean[i] + (1 - momentum) * value if i in mean else value
        weights = []
        for i in index:
            b, d = (mean[i] / max(value for j, value in mean.items() if LABELS[j] == LABELS[i]) for mean in means)
            weights.append(b / (b + d + 1e-8))
        found.append(weights)
    return found


@pytest.mark.parametrize("momentum", [0.7, 0.0])
def test_value(momentum: float) -> None:
    module = new(momentum)
    for step, expected in enumerate(reference(momentum)):
        assert weigh(module, *drawn(step)).tolist() == pytest.approx(expected, rel=1e-12)


def test_hardest_images_of_both_networks_weigh_half() -> None:
    """Whatever the scale of the losses of a class: each is divided by the highest."""
    index = torch.tensor([0, 4, 1])
    weights = weigh(new(), index, torch.tensor([2.0, 1.0, 5.0]).double(), torch.tensor([8.0, 8.0, 0.1]).double())
    assert weights.tolist() == pytest.approx([1 / 2, 1 / 3, 1 / 2])


def test_losses_of_the_step_itself() -> None:
    index, biased, debiased = drawn(0)
    expected = [b / (b + d + 1e-8) for b, d in zip(biased.tolist(), debiased.tolist(), strict=True)]
    assert relative_difficulty(biased, debiased).tolist() == pytest.approx(expected, rel=1e-12)
    assert relative_difficulty(torch.zeros(2), torch.zeros(2)).tolist() == [0, 0]
    assert weigh(new(), index, torch.zeros(BATCH).double(), torch.zeros(BATCH).double()).tolist() == [0] * BATCH


def weigh_half() -> list[Tensor]:
    """One of two processes, which take turns in the images of a step."""
    rank = torch.distributed.get_rank()
    module = new()
    return [
        *(weigh(module, *(values[rank::2] for values in drawn(step))) for step in range(STEPS)),
        *module.buffers(),
    ]


def test_two_processes_weigh_as_one_does(tmp_path: Path) -> None:
    module = new()
    alone = [weigh(module, *drawn(step)) for step in range(STEPS)]
    halves = run_gloo(weigh_half, folder=tmp_path)
    for rank, found in enumerate(halves):
        for step, weights in enumerate(alone):
            assert torch.equal(found[step], weights[rank::2])
        for actual, expected in zip(found[STEPS:], module.buffers(), strict=True):
            assert torch.equal(actual, expected)


def test_batches_that_no_state_may_learn_from() -> None:
    module = new()
    first = weigh(module, *drawn(0))
    before = [buffer.clone() for buffer in module.buffers()]
    module.repeats_batch = True
    index, _, _ = drawn(0)
    assert torch.equal(weigh(module, index, *drawn(1)[1:]), first), "the means are those of the first pass"
    module.repeats_batch = False
    index, biased, debiased = drawn(2)
    biased[3] = math.nan
    weigh(module, index, biased, debiased)
    assert all(torch.equal(*pair) for pair in zip(module.buffers(), before, strict=True))


def test_state_brings_its_size() -> None:
    module = new()
    weigh(module, *drawn(0))
    other = RelativeDifficulty().double()
    other.load_state_dict(module.state_dict())
    other.set_num_images(NUM_IMAGES)
    assert torch.equal(weigh(other, *drawn(1)), weigh(module, *drawn(1)))
    other.set_num_images(3)
    assert other.labels.tolist() == [-1] * 3, "that of another training set is forgotten"


def test_errors() -> None:
    with pytest.raises(UserInputError, match=r"momentum=1\.0 must be 0 or more and below 1"):
        RelativeDifficulty(1.0)
    index, biased, debiased = drawn(0)
    with pytest.raises(UserInputError, match=r"got no number of training images; .*ImageBuffersHook"):
        weigh(RelativeDifficulty(), index, biased, debiased)
    with pytest.raises(UserInputError, match=r"got samples without an index; keep 'sample_idx'"):
        new()(biased, debiased, LABELS[index], None, NUM_CLASSES)
