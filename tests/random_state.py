"""The random state of this process, to assert that something leaves it alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def random_state_untouched() -> Iterator[None]:
    """Fail if the code inside draws from the generators of python, numpy or torch."""
    before = _state()
    yield
    assert _state() == before


def _state() -> tuple:
    numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002 (the state that must not move)
    return random.getstate(), repr(numpy_state), torch.get_rng_state().tolist()
