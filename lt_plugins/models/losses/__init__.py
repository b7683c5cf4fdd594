"""Losses; each is a plain ``nn.Module`` that also works outside OpenMMLab."""

from .paco_loss import PaCoLoss
from .supcon_loss import SupConLoss

__all__ = ["PaCoLoss", "SupConLoss"]
