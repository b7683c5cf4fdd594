"""Losses; each is a plain ``nn.Module`` that also works outside OpenMMLab."""

from .attribute_positives import AttributePositives
from .aux_loss import AuxLoss, ContrastAuxLoss
from .balanced_softmax_loss import BalancedSoftmaxLoss
from .balpoe_loss import BalPoELoss
from .bcl_loss import BCLLoss
from .center_loss import CenterLoss
from .centroid_loss import CentroidLoss
from .environment_recorder import EnvironmentRecorder
from .focal_loss import SigmoidFocalLoss, SoftmaxFocalLoss
from .gce_loss import GeneralizedCrossEntropyLoss
from .gcl_loss import GCLLoss
from .instance_contrast_loss import InstanceContrastLoss
from .instance_curriculum import InstanceCurriculum
from .irm_penalty import IRMPenalty
from .isda_loss import ISDALoss
from .kcl_loss import KCLLoss
from .kd_loss import KDLoss
from .label_aware_smooth_loss import LabelAwareSmoothLoss
from .latent_isda_loss import LatentISDALoss
from .ldam_loss import LDAMLoss
from .lfme_loss import LFMELoss
from .logit_adjustment_loss import LogitAdjustmentLoss
from .long_tail_loss import LongTailLoss
from .metasaug_loss import MetaSAugLoss
from .multi_expert_loss import MultiExpertLoss
from .paco_loss import PaCoLoss
from .pcl_loss import PCLLoss
from .proco_loss import ProCoLoss
from .range_loss import RangeLoss
from .reconstruction_loss import ReconstructionLoss
from .ride_loss import RIDELoss
from .sbcl_loss import SBCLLoss
from .shike_loss import SHIKELoss
from .supcon_loss import SupConLoss
from .swapped_prediction_loss import SwappedPredictionLoss
from .tade_loss import TADELoss
from .tsc_loss import TSCLoss
from .vs_loss import VectorScalingLoss
from .weighted_cross_entropy_loss import WeightedCrossEntropyLoss

__all__ = [
    "AttributePositives",
    "AuxLoss",
    "BCLLoss",
    "BalPoELoss",
    "BalancedSoftmaxLoss",
    "CenterLoss",
    "CentroidLoss",
    "ContrastAuxLoss",
    "EnvironmentRecorder",
    "GCLLoss",
    "GeneralizedCrossEntropyLoss",
    "IRMPenalty",
    "ISDALoss",
    "InstanceContrastLoss",
    "InstanceCurriculum",
    "KCLLoss",
    "KDLoss",
    "LDAMLoss",
    "LFMELoss",
    "LabelAwareSmoothLoss",
    "LatentISDALoss",
    "LogitAdjustmentLoss",
    "LongTailLoss",
    "MetaSAugLoss",
    "MultiExpertLoss",
    "PCLLoss",
    "PaCoLoss",
    "ProCoLoss",
    "RIDELoss",
    "RangeLoss",
    "ReconstructionLoss",
    "SBCLLoss",
    "SHIKELoss",
    "SigmoidFocalLoss",
    "SoftmaxFocalLoss",
    "SupConLoss",
    "SwappedPredictionLoss",
    "TADELoss",
    "TSCLoss",
    "VectorScalingLoss",
    "WeightedCrossEntropyLoss",
]
