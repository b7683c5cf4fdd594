"""Transforms in order, each with numbers of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from lt_plugins.augmentation.chain import Chain
from lt_plugins.augmentation.draws import Draws


class Add:
    """Adds a drawn number to each image."""

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        return images + torch.from_numpy(draws.integers(0, 100)).to(torch.uint8).view(-1, 1, 1, 1)


def test_each_step_draws_its_own_numbers() -> None:
    images, draws = torch.zeros(4, 3, 2, 2, dtype=torch.uint8), Draws.of_images(0, 0, 0, range(4))
    first, second = (Draws(draws.keys) for _ in range(2))
    both = Chain([Add(), Add()])(images, first)
    forks = [second.fork().integers(0, 100), second.fork().integers(0, 100)]
    assert (forks[0] != forks[1]).any()
    assert torch.equal(both[:, 0, 0, 0], torch.from_numpy(sum(forks)).to(torch.uint8))
    assert torch.equal(Chain([])(images, draws), images)
