"""Where in an optimiser step a forward pass lies, when gradients of several batches are accumulated."""

from __future__ import annotations


class FollowsSteps:
    """Mixin of modules whose state follows optimiser steps instead of forward passes.

    ``AccumulationHook`` sets both attributes before each iteration. Without accumulation every forward pass is a step
    of its own, which is what the defaults say.

    Attributes:
        starts_step (bool): Whether this is the first forward pass since the last optimiser step.
        ends_step (bool): Whether the optimiser takes a step after this forward pass.
    """

    starts_step: bool = True
    ends_step: bool = True
