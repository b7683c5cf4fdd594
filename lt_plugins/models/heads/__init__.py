"""Classification heads, one file a method family."""

from .adjusted_classifier import AdjustedClassifier
from .affine_head import AffineHead
from .balms_head import BALMSHead
from .bbn_head import BBNHead
from .class_subset_head import ClassSubsetHead
from .contrast_head import ContrastCosineHead, ContrastHead
from .cosine_cls_head import CosineClsHead
from .few_shot_weights import FewShotWeightGenerator
from .fslwf_head import FSLwFHead
from .glmc_head import GLMCHead
from .isda_head import ISDAHead
from .label_batch_head import LabelBatchHead
from .latent_pool import LatentPool
from .lcreg_head import LatentView, LCRegHead
from .linear_head import LinearHead
from .lpa_head import LPAHead
from .lws_cls_head import LWSClsHead
from .max_norm_head import MaxNormHead
from .metasaug_head import MetaSAugHead
from .multi_expert_head import MultiExpertHead
from .oltr_head import OLTRHead
from .paco_head import PaCoHead
from .probe_head import ProbeHead
from .self_distill_head import SelfDistillHead
from .supcon_head import SupConHead
from .tde_head import TDEHead

__all__ = [
    "AdjustedClassifier",
    "AffineHead",
    "BALMSHead",
    "BBNHead",
    "ClassSubsetHead",
    "ContrastCosineHead",
    "ContrastHead",
    "CosineClsHead",
    "FSLwFHead",
    "FewShotWeightGenerator",
    "GLMCHead",
    "ISDAHead",
    "LCRegHead",
    "LPAHead",
    "LWSClsHead",
    "LabelBatchHead",
    "LatentPool",
    "LatentView",
    "LinearHead",
    "MaxNormHead",
    "MetaSAugHead",
    "MultiExpertHead",
    "OLTRHead",
    "PaCoHead",
    "ProbeHead",
    "SelfDistillHead",
    "SupConHead",
    "TDEHead",
]
