"""Post-hoc methods by name, under one signature: what the tool sweeps and what the last stage of a run fits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.posthoc.affine_classifier import AffineClassifier, normalize_features
from lt_plugins.posthoc.bbse import bbse_prior, joint_confusion
from lt_plugins.posthoc.em import em_prior
from lt_plugins.posthoc.expert_weights import ExpertViews, fit_expert_weights, weigh_experts
from lt_plugins.posthoc.logit_adjustment import logit_adjustment
from lt_plugins.posthoc.nearest_class_mean import nearest_class_mean
from lt_plugins.posthoc.prior import prior_power
from lt_plugins.posthoc.target_prior import target_prior
from lt_plugins.posthoc.tau_norm import tau_norm
from lt_plugins.posthoc.temperature import fit_temperature, temperature_scaling

T = TypeVar("T")
MAX_CONDITION = 1e6
"""Above it a confusion matrix says too little about the prior, and EM estimates it."""


class LabelledFeatures(NamedTuple):
    """Features of images with labels.

    Args:
        features (Tensor): Shape ``(N, D)``.
        labels (Tensor): Classes, int64 ``(N,)``.
    """

    features: Tensor
    labels: Tensor


@dataclass(frozen=True)
class TrainedClassifier:
    """A trained classifier and all that a post-hoc method may look at.

    Args:
        classifier (AffineClassifier): The classifier, of the features below.
        counts (Tensor): Training images of each class, int64 ``(C,)``.
        prior (Tensor): Class prior that its logits answer for, shape ``(C,)``.
        has_unit_features (bool): Whether the features are directions, of unit length. Defaults to False.
        train (LabelledFeatures | None): The training set without augmentation. Defaults to None.
        held_out (LabelledFeatures | None): Labelled images that were not trained on. Defaults to None.
        unlabelled (Tensor | None): Features of the images whose prior is sought, shape ``(M, D)``. Defaults to None.
        num_experts (int): Number of experts whose mean the classifier is. Defaults to 1.
        views (ExpertViews | None): What the experts say of two views of the images to predict. Defaults to None.
    """

    classifier: AffineClassifier
    counts: Tensor
    prior: Tensor
    has_unit_features: bool = False
    train: LabelledFeatures | None = None
    held_out: LabelledFeatures | None = None
    unlabelled: Tensor | None = None
    num_experts: int = 1
    views: ExpertViews | None = None

    @property
    def is_balanced(self) -> bool:
        """Whether its logits answer for an even prior rather than for the frequencies of the training set."""
        return prior_power(self.prior, self.counts) < 0.5

    def answer_by(self, classifier: AffineClassifier, note: str = "") -> AdjustedLogits:
        """Put another classifier of the same features in place of the trained one.

        Args:
            classifier (AffineClassifier): The other one.
            note (str): What was found, for the user. Defaults to nothing.
        """
        centre = classifier.weight.new_zeros(classifier.weight.shape[1]) if self.has_unit_features else None
        return AdjustedLogits(classifier, centre, note)


class AdjustedLogits(NamedTuple):
    """What a post-hoc method puts in place of a classifier.

    Args:
        classifier (AffineClassifier): Of the features, or of their directions.
        centre (Tensor | None): Where directions are taken from, shape ``(D,)``; None if it classifies features.
        note (str): What was found, for the user.
    """

    classifier: AffineClassifier
    centre: Tensor | None
    note: str = ""

    def logits(self, features: Tensor) -> Tensor:
        """Logits of features ``(N, D)``, shape ``(N, C)``."""
        return self.classifier.logits(features if self.centre is None else normalize_features(features, self.centre))


Fit = Callable[[TrainedClassifier, float], AdjustedLogits]


@dataclass(frozen=True)
class PosthocMethod:
    """A post-hoc method.

    Args:
        fit (Callable): From a :class:`TrainedClassifier` and the setting to an :class:`AdjustedLogits`.
        setting (str | None): Name of what is swept; None if there is nothing. Defaults to None.
        default (float): Its value where nothing says another. Defaults to 1.0.
        needs (frozenset[str]): What of the trained classifier it reads, of ``"train"``, ``"held_out"``,
            ``"unlabelled"`` and ``"views"``. Defaults to nothing.
        removes_prior (bool): Whether it takes the frequencies of the training set out of the logits, which must be in
            them. Defaults to False.
    """

    fit: Fit
    setting: str | None = None
    default: float = 1.0
    needs: frozenset[str] = field(default_factory=frozenset)
    removes_prior: bool = False


def _fit_logit_adjustment(trained: TrainedClassifier, tau: float) -> AdjustedLogits:
    return trained.answer_by(logit_adjustment(trained.classifier, trained.counts, tau))


def _fit_tau_norm(trained: TrainedClassifier, tau: float) -> AdjustedLogits:
    return trained.answer_by(tau_norm(trained.classifier, tau))


def _fit_ncm(trained: TrainedClassifier, _: float) -> AdjustedLogits:
    """Directions from the mean of the training images; features that are directions already stay what they are."""
    features, labels = _required(trained.train, "the training set")
    num_classes = len(trained.counts)
    if trained.has_unit_features:
        return trained.answer_by(nearest_class_mean(features, labels, num_classes))
    centre = features.double().mean(dim=0).to(features)
    classifier = nearest_class_mean(normalize_features(features, centre), labels, num_classes)
    return AdjustedLogits(classifier, centre)


def _fit_temperature(trained: TrainedClassifier, _: float) -> AdjustedLogits:
    """For images like the held-out ones, as they are."""
    features, labels = _required(trained.held_out, "labelled images that were not trained on")
    temperature = fit_temperature(trained.classifier.logits(features), labels)
    return trained.answer_by(temperature_scaling(trained.classifier, temperature), f"T = {temperature:.2f}")


def _calibrate(trained: TrainedClassifier) -> tuple[AffineClassifier, str]:
    """The classifier, calibrated under the prior that it answers for: the first step before a prior is estimated."""
    features, labels = _required(trained.held_out, "labelled images that were not trained on")
    temperature = fit_temperature(trained.classifier.logits(features), labels, trained.prior)
    return temperature_scaling(trained.classifier, temperature), f"T = {temperature:.2f}"


def _fit_em(trained: TrainedClassifier, alpha: float) -> AdjustedLogits:
    classifier, note = _calibrate(trained)
    found = em_prior(classifier.logits(_required(trained.unlabelled, "test images")), trained.prior, alpha)
    note = f"{note}, {len(found.objectives) - 1} steps, {describe_prior(found.prior)}"
    return trained.answer_by(target_prior(classifier, trained.prior, found.prior), note)


def _fit_bbse(trained: TrainedClassifier, regularization: float) -> AdjustedLogits:
    classifier, note = _calibrate(trained)
    features, labels = _required(trained.held_out, "labelled images that were not trained on")
    test = classifier.logits(_required(trained.unlabelled, "test images"))
    confusion = joint_confusion(classifier.logits(features).softmax(dim=1), labels, trained.prior)
    found = bbse_prior(confusion, test.double().softmax(dim=1).mean(dim=0), trained.prior, regularization)
    prior, note = found.prior, f"{note}, condition {found.condition:.1e}"
    if not found.condition < MAX_CONDITION:
        prior, note = em_prior(test, trained.prior).prior, f"{note}: by EM instead"
    return trained.answer_by(target_prior(classifier, trained.prior, prior), f"{note}, {describe_prior(prior)}")


def _fit_expert_weights(trained: TrainedClassifier, _: float) -> AdjustedLogits:
    views = _required(trained.views, "two views of the test images by several experts")
    found = fit_expert_weights(views.first, views.second, views.lr, views.weight_decay)
    weights = " ".join(f"{weight:.2f}" for weight in found.weights.tolist())
    note = f"weights {weights}, similarity {found.similarities[0]:.4f} to {found.similarities[-1]:.4f}"
    return trained.answer_by(weigh_experts(trained.classifier, views.biases, found.weights), note)


def describe_prior(prior: Tensor) -> str:
    """Describe an estimated prior by its smallest and largest share.

    Args:
        prior (Tensor): Class frequencies, shape ``(C,)``.
    """
    return f"shares {100 * float(prior.min()):.2g} to {100 * float(prior.max()):.2g} %"


def _required(value: T | None, what: str) -> T:
    if value is None:
        raise UserInputError(f"this method needs {what}, and there are none.")
    return value


def check_experts_of(name: str, trained: TrainedClassifier) -> None:
    """Refuse to weigh the experts of a model that has none.

    Args:
        name (str): Name of the method.
        trained (TrainedClassifier): The classifier.

    Raises:
        UserInputError: If the method weighs experts and there are fewer than two.
    """
    if "views" in METHODS[name].needs and trained.num_experts < 2:
        raise UserInputError(
            f"{name} weighs the experts of a model, and this one has a single classifier; use one with a "
            "MultiExpertHead, like configs/tade."
        )


def check_prior_of(name: str, trained: TrainedClassifier) -> None:
    """Refuse to take a prior out of logits that are without it.

    Args:
        name (str): Name of the method.
        trained (TrainedClassifier): The classifier.

    Raises:
        UserInputError: If its loss or its sampler has taken the class frequencies out already.
    """
    if METHODS[name].removes_prior and trained.is_balanced:
        raise UserInputError(
            f"{name}: the loss or the sampler of this model has already made it answer for classes of equal frequency "
            "(logit adjustment, balanced softmax, class weights, balanced batches); taking the prior out once more "
            "would favour rare classes. Use a model trained by plain cross-entropy on all images."
        )


METHODS: dict[str, PosthocMethod] = {
    "logit-adjustment": PosthocMethod(_fit_logit_adjustment, "tau", removes_prior=True),
    "tau-norm": PosthocMethod(_fit_tau_norm, "tau"),
    "ncm": PosthocMethod(_fit_ncm, needs=frozenset({"train"})),
    "temperature": PosthocMethod(_fit_temperature, needs=frozenset({"held_out"})),
    "em": PosthocMethod(_fit_em, needs=frozenset({"held_out", "unlabelled"})),
    "bbse": PosthocMethod(_fit_bbse, default=1e-6, needs=frozenset({"held_out", "unlabelled"})),
    "expert-weights": PosthocMethod(_fit_expert_weights, needs=frozenset({"views"})),
}
"""By the name that the command line and configs use."""
