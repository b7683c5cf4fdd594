"""Losses; each is a plain ``nn.Module`` that also works outside OpenMMLab."""

from .kcl_loss import KCLLoss
from .label_aware_smooth_loss import LabelAwareSmoothLoss
from .ldam_loss import LDAMLoss
from .paco_loss import PaCoLoss
from .sbcl_loss import SBCLLoss
from .supcon_loss import SupConLoss

__all__ = ["KCLLoss", "LDAMLoss", "LabelAwareSmoothLoss", "PaCoLoss", "SBCLLoss", "SupConLoss"]
