"""Random numbers that belong to an optimiser step and not to a process or a forward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from lt_plugins.models.structures.step_position import FollowsSteps

T = TypeVar("T")


class StepDraws(FollowsSteps):
    """Mixin of modules that draw random numbers once an optimiser step, the same ones in all processes.

    The numbers follow from the seed of the run, the epoch, and how many steps of it came before, so a resumed training
    draws those of the one that was left alone. All batches of a step share them: those of several processes, of
    accumulated gradients, and the second pass of SAM. A step of two processes with ``B`` images each therefore is one
    of ``2B`` images. A loop of your own calls :meth:`set_seed` once and :meth:`set_epoch` before each epoch.
    """

    _seed: int = 0
    _epoch: int = 0
    _generator: np.random.Generator | None = None
    _drawn: Any = None

    def set_seed(self, seed: int) -> None:
        """Set the seed that the numbers follow from (``EpochSeedHook`` does).

        Args:
            seed (int): Seed of the run, the same in all processes.
        """
        self._seed, self._generator = seed, None

    def set_epoch(self, epoch: int, max_epochs: int) -> str | None:  # noqa: ARG002 (others follow its share)
        """Begin the numbers of an epoch (``EpochHook`` does).

        Args:
            epoch (int): The epoch about to start, from 0.
            max_epochs (int): Number of epochs of the training. Unused.

        Returns:
            str | None: Nothing to log.
        """
        self._epoch, self._generator = epoch, None
        return None

    def draw(self, make: Callable[[np.random.Generator], T]) -> T:
        """Draw the numbers of this step, or return those that were drawn in it before.

        Args:
            make (Callable): From the generator to what is drawn.

        Returns:
            T: What ``make`` returned in the first forward pass of the step.
        """
        if self._drawn is None or (self.starts_step and not self.repeats_batch):
            if self._generator is None:
                # The orders of samplers follow from the same seed and epoch: another branch of it than theirs.
                self._generator = np.random.default_rng(
                    np.random.SeedSequence([self._seed, self._epoch], spawn_key=(1,))
                )
            self._drawn = make(self._generator)
        return self._drawn
