"""Optimiser wrappers: what a training step does with the loss of a batch."""

from .sam_optim_wrapper import SAMOptimWrapper

__all__ = ["SAMOptimWrapper"]
