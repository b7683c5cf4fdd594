"""Whose prior: samplers and losses of the re-balancing family, against what a trained classifier answers for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmpretrain.registry import DATA_SAMPLERS, MODELS
from torch import nn

import lt_plugins.plugins  # noqa: F401  (registers)
from lt_plugins.analysis.posthoc_sweep import find_trained_prior
from lt_plugins.engine.trained_prior import sampled_prior, trained_prior
from lt_plugins.models.structures import ClassDistribution
from lt_plugins.posthoc import class_priors, prior_power
from tests.battery import set_counts

COUNTS = torch.tensor([300, 60, 12, 3])
LABELS = torch.arange(4).repeat_interleave(COUNTS)
PRIORS = class_priors(COUNTS)


def head_of(loss: dict[str, Any], kind: str = "LinearHead") -> Any:
    head = MODELS.build({"type": kind, "num_classes": 4, "in_channels": 8, "loss": loss})
    set_counts(head)
    for module in head.modules():
        if hasattr(module, "set_counts"):
            module.set_counts(COUNTS)
    return head


@pytest.mark.parametrize(
    ("sampler", "power"),
    [
        ({"type": "DefaultSampler", "shuffle": True}, 1.0),
        ({"type": "ClassAwareSampler"}, 0.0),
        ({"type": "ClassBalancedSampler", "num_samples": 4000}, 0.0),
        ({"type": "ClassBalancedSampler", "power": 0.5, "num_samples": 4000}, 0.5),
    ],
    ids=str,
)
def test_sampled_prior(sampler: dict[str, Any], power: float) -> None:
    built = DATA_SAMPLERS.build({**sampler, "dataset": LABELS.numpy(), "seed": 0})
    assert prior_power(sampled_prior(built, LABELS, COUNTS), COUNTS) == pytest.approx(power, abs=0.05)


def test_sampled_prior_with_an_empty_class() -> None:
    counts = torch.tensor([300, 60, 12, 0])
    labels = torch.arange(4).repeat_interleave(counts)
    torch.testing.assert_close(sampled_prior(range(len(labels)), labels, counts), class_priors(counts))


@pytest.mark.parametrize(
    ("loss", "power"),
    [
        ({"type": "CrossEntropyLoss"}, 1.0),
        ({"type": "WeightedCrossEntropyLoss"}, 1.0),
        ({"type": "WeightedCrossEntropyLoss", "class_weight": "inverse", "reweight_from": 20}, 0.0),
        ({"type": "WeightedCrossEntropyLoss", "class_weight": "inverse_sqrt"}, 0.5),
        ({"type": "LogitAdjustmentLoss"}, 0.0),
        ({"type": "LogitAdjustmentLoss", "tau": 1.5}, -0.5),
        ({"type": "LogitAdjustmentLoss", "tau": 0.0}, 1.0),
        ({"type": "BalancedSoftmaxLoss"}, 0.0),
        ({"type": "VectorScalingLoss", "tau": 0.75, "gamma": 0.0}, 0.25),
        ({"type": "LabelAwareSmoothLoss"}, 1.0),
    ],
    ids=str,
)
def test_trained_prior_of_losses(loss: dict[str, Any], power: float) -> None:
    found = trained_prior(head_of(loss), PRIORS)
    torch.testing.assert_close(found, PRIORS**power / (PRIORS**power).sum())


def test_deferred_weights_count_from_their_epoch_on() -> None:
    head = head_of({"type": "WeightedCrossEntropyLoss", "class_weight": "inverse", "reweight_from": 20})
    torch.testing.assert_close(trained_prior(head, PRIORS, epoch=19), PRIORS)
    torch.testing.assert_close(trained_prior(head, PRIORS, epoch=20), torch.full((4,), 0.25).double())


@pytest.mark.parametrize(("kind", "loss"), [("PaCoHead", "PaCoLoss"), ("SupConHead", "SupConLoss")])
def test_trained_prior_of_contrastive_heads(kind: str, loss: str) -> None:
    """They add the log-priors in training; on balanced batches they over-correct, which the prior says too."""
    head = head_of({"type": loss}, kind)
    torch.testing.assert_close(trained_prior(head, PRIORS), torch.full((4,), 0.25).double())
    reversed_prior = (1 / PRIORS) / (1 / PRIORS).sum()
    torch.testing.assert_close(trained_prior(head, torch.full((4,), 0.25).double()), reversed_prior)


def test_a_head_of_others_answers_for_what_it_saw() -> None:
    torch.testing.assert_close(trained_prior(nn.Linear(2, 4), PRIORS), PRIORS)


@pytest.mark.parametrize(
    "loss",
    [
        {"type": "CrossEntropyLoss"},
        {"type": "LogitAdjustmentLoss", "tau": 0.5},
        {"type": "WeightedCrossEntropyLoss", "class_weight": "inverse_sqrt", "normalize_by": "batch"},
        {"type": "BalancedSoftmaxLoss"},
    ],
    ids=str,
)
def test_a_classifier_that_sees_nothing_learns_exactly_this_prior(loss: dict[str, Any]) -> None:
    """Of features without information only the bias is left, and its softmax is the prior."""
    head = head_of(loss)
    logits = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = head.loss_module(logits.expand(len(LABELS), 4), LABELS)
        value.backward()
        return value

    optimizer.step(closure)
    torch.testing.assert_close(F.softmax(logits.detach(), dim=0), trained_prior(head, PRIORS), atol=2e-3, rtol=0)


@pytest.mark.parametrize(("inner", "power"), [({"type": "DefaultSampler"}, 1.0), ({"type": "ClassAwareSampler"}, 0.0)])
def test_the_prior_of_a_part_is_that_of_its_sampler(inner: dict[str, Any], power: float) -> None:
    """Of a config whose companions see other parts of the data."""
    model = MODELS.build(
        {
            "type": "ImageClassifier",
            "backbone": {"type": "CIFARResNet", "depth": 20},
            "neck": {"type": "GlobalAveragePooling"},
            "head": {"type": "LinearHead", "num_classes": len(COUNTS), "in_channels": 64},
        }
    )
    model.class_distribution = ClassDistribution()
    model.class_distribution.set_counts(COUNTS)
    cfg = Config({"train_dataloader": {"sampler": {"type": "PartSampler", "part": 1, "sampler": inner}}})
    found = find_trained_prior(cfg, SimpleNamespace(model=model, epoch=None))  # type: ignore[arg-type]
    assert prior_power(found, COUNTS) == pytest.approx(power, abs=0.05)
