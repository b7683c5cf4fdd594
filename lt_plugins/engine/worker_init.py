"""Worker seeding: derives the random state of data-loader workers from the main process."""

from __future__ import annotations

import random

import numpy as np
import torch
from mmengine.registry import FUNCTIONS


@FUNCTIONS.register_module()
def epoch_worker_init(worker_id: int) -> None:  # noqa: ARG001 (the signature that DataLoader calls)
    """Seed python and numpy of a worker from torch's seed of it, which the main process draws.

    At the start of an epoch torch draws ``base_seed`` in the main process and seeds worker ``i`` by ``base_seed + i``;
    with ``EpochSeedHook`` the draw follows from (seed, epoch, rank). Registered in mmengine's root registry, where its
    runner looks for ``worker_init_fn``.

    Args:
        worker_id (int): Number of the worker; already part of ``torch.initial_seed()``.
    """
    seed = torch.initial_seed() % 2**32
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (what the transforms of mmcv draw from)
