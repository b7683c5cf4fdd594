"""Losses; each is a plain ``nn.Module`` that also works outside OpenMMLab."""

from .isda_loss import ISDALoss
from .kcl_loss import KCLLoss
from .label_aware_smooth_loss import LabelAwareSmoothLoss
from .latent_isda_loss import LatentISDALoss
from .ldam_loss import LDAMLoss
from .long_tail_loss import LongTailLoss
from .paco_loss import PaCoLoss
from .reconstruction_loss import ReconstructionLoss
from .sbcl_loss import SBCLLoss
from .supcon_loss import SupConLoss

__all__ = [
    "ISDALoss",
    "KCLLoss",
    "LDAMLoss",
    "LabelAwareSmoothLoss",
    "LatentISDALoss",
    "LongTailLoss",
    "PaCoLoss",
    "ReconstructionLoss",
    "SBCLLoss",
    "SupConLoss",
]
