"""Optimiser wrappers: what a training step does with the loss of a batch."""

from .class_sam_optim_wrapper import ClassSAMOptimWrapper
from .focal_sam_optim_wrapper import FocalSAMOptimWrapper
from .imb_sam_optim_wrapper import ImbSAMOptimWrapper
from .layer_decay_constructor import LayerDecayConstructor
from .sam_optim_wrapper import SAMOptimWrapper

__all__ = [
    "ClassSAMOptimWrapper",
    "FocalSAMOptimWrapper",
    "ImbSAMOptimWrapper",
    "LayerDecayConstructor",
    "SAMOptimWrapper",
]
