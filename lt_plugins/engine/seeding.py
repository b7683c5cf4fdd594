"""Seeding of the generators that a process draws from."""

from __future__ import annotations

import random

import numpy as np
import torch


def seed_generators(*numbers: int, cuda: bool = True) -> None:
    """Seed python, numpy and torch of this process.

    Args:
        *numbers (int): What the state follows from, like seed of the run, epoch and number of the process.
        cuda (bool): Whether to seed every CUDA device, too. Defaults to True.
    """
    state = np.random.SeedSequence(numbers).generate_state(2, np.uint32)
    random.seed(int(state[0]))
    np.random.seed(int(state[0]))  # noqa: NPY002 (what the transforms of mmcv draw from)
    (torch.manual_seed if cuda else torch.default_generator.manual_seed)(int(state[0]) << 32 | int(state[1]))
