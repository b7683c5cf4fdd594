"""Post-hoc adjustment of a trained classifier: tensors in, another affine classifier out; nothing of OpenMMLab."""

from .affine_classifier import AffineClassifier, normalize_features
from .bbse import BBSEResult, bbse_prior, joint_confusion
from .em import EMResult, em_prior
from .expert_weights import ExpertViews, ExpertWeights, fit_expert_weights, view_similarity, weigh_experts
from .logit_adjustment import logit_adjustment
from .methods import (
    AdjustedLogits,
    LabelledFeatures,
    PosthocMethod,
    TrainedClassifier,
    check_experts_of,
    check_prior_of,
)
from .nearest_class_mean import nearest_class_mean
from .prior import accuracy_under_prior, class_priors, prior_power
from .target_prior import target_prior
from .tau_norm import tau_norm
from .temperature import fit_temperature, temperature_scaling

__all__ = [
    "AdjustedLogits",
    "AffineClassifier",
    "BBSEResult",
    "EMResult",
    "ExpertViews",
    "ExpertWeights",
    "LabelledFeatures",
    "PosthocMethod",
    "TrainedClassifier",
    "accuracy_under_prior",
    "bbse_prior",
    "check_experts_of",
    "check_prior_of",
    "class_priors",
    "em_prior",
    "fit_expert_weights",
    "fit_temperature",
    "joint_confusion",
    "logit_adjustment",
    "nearest_class_mean",
    "normalize_features",
    "prior_power",
    "target_prior",
    "tau_norm",
    "temperature_scaling",
    "view_similarity",
    "weigh_experts",
]
