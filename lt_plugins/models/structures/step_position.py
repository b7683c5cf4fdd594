"""Where in an optimiser step a forward pass lies, when gradients of several batches are accumulated."""

from __future__ import annotations


class FollowsSteps:
    """Mixin of modules whose state follows optimiser steps instead of forward passes.

    ``AccumulationHook`` sets the first two attributes before each iteration. Without accumulation every forward pass is
    a step of its own, which is what the defaults say. ``SAMOptimWrapper`` sets all three: its steps have two passes
    over the same batch, the second at other weights, and the losses of both must be of the same state.

    Attributes:
        starts_step (bool): Whether this is the first forward pass since the last optimiser step.
        ends_step (bool): Whether the optimiser takes a step after this forward pass.
        repeats_batch (bool): Whether this forward pass is of the batch of the one before, at perturbed weights. No
            state may learn from it.
    """

    starts_step: bool = True
    ends_step: bool = True
    repeats_batch: bool = False
