"""Classifiers of two views of each image, with auxiliary losses, or on frozen features; the preprocessor of all."""

from .aux_loss_classifier import AuxLossClassifier
from .bbn_classifier import BBNClassifier
from .distill_classifier import DistillClassifier
from .expert_router import ExpertRouter
from .frozen_backbone_classifier import FrozenBackboneClassifier
from .glmc_classifier import GLMCClassifier
from .h2t_classifier import H2TClassifier
from .image_batch_preprocessor import ImageBatchPreprocessor
from .lff_classifier import LFFClassifier
from .lfme_classifier import LFMEClassifier
from .m2m_classifier import M2mClassifier
from .metasaug_classifier import MetaSAugClassifier
from .momentum_classifier import MomentumClassifier
from .oltr_classifier import OLTRClassifier
from .routed_classifier import RoutedClassifier
from .self_supervised_classifier import SelfSupervisedClassifier
from .step_byol import StepBYOL
from .taught_classifier import TaughtClassifier, classifier_outputs
from .two_view_classifier import TwoViewClassifier

__all__ = [
    "AuxLossClassifier",
    "BBNClassifier",
    "DistillClassifier",
    "ExpertRouter",
    "FrozenBackboneClassifier",
    "GLMCClassifier",
    "H2TClassifier",
    "ImageBatchPreprocessor",
    "LFFClassifier",
    "LFMEClassifier",
    "M2mClassifier",
    "MetaSAugClassifier",
    "MomentumClassifier",
    "OLTRClassifier",
    "RoutedClassifier",
    "SelfSupervisedClassifier",
    "StepBYOL",
    "TaughtClassifier",
    "TwoViewClassifier",
    "classifier_outputs",
]
