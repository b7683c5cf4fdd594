"""Made-up predictions, and the slow and obvious way to score them."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from mmpretrain.structures import DataSample
from torch import Tensor

from lt_plugins.evaluation.prediction_metric import PredictionMetric


def make_scores(num_samples: int, num_classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Probabilities ``(N, C)`` that are right more often than chance, and labels ``(N,)``."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(num_classes, (num_samples,), generator=generator)
    logits = torch.randn(num_samples, num_classes, generator=generator)
    logits[torch.arange(num_samples), label] += 1.5
    return logits.softmax(dim=1), label


def feed(metric: PredictionMetric, scores: Tensor, label: Tensor, indices: Iterable[int], batch_size: int = 5) -> None:
    """Show the samples with these indices to a metric, as mmengine's evaluator does."""
    samples = [
        DataSample(metainfo={"sample_idx": i}).set_gt_label(label[i]).set_pred_score(scores[i]).to_dict()
        for i in indices
    ]
    for start in range(0, len(samples), batch_size):
        metric.process(None, samples[start : start + batch_size])


def reference(
    scores: Tensor, label: Tensor, train_counts: list[int], topk: tuple[int, ...], many: int = 100, few: int = 20
) -> dict[str, float]:
    """All numbers of ShotAccuracy by loops over samples and classes."""
    num_samples, num_classes = scores.shape
    numbers = {}
    ranking = [sorted(range(num_classes), key=lambda c: (-float(scores[i, c]), c)) for i in range(num_samples)]
    for k in topk:
        hits = sum(int(label[i]) in ranking[i][:k] for i in range(num_samples))
        numbers[f"accuracy_top{k}"] = 100 * hits / num_samples
    accuracy = {}
    for c in range(num_classes):
        own = [i for i in range(num_samples) if label[i] == c]
        if own:
            accuracy[c] = 100 * sum(ranking[i][0] == c for i in own) / len(own)
    members: dict[str, list[float]] = {"many": [], "medium": [], "few": []}
    for c, value in accuracy.items():
        group = "many" if train_counts[c] > many else "few" if train_counts[c] < few else "medium"
        members[group].append(value)
    numbers |= {group: sum(values) / len(values) for group, values in members.items() if values}
    values = list(accuracy.values())
    floored = [max(value, 0.1) for value in values]
    numbers["balanced"] = sum(values) / len(values)
    numbers["geometric_mean"] = math.prod(value ** (1 / len(values)) for value in floored)
    numbers["harmonic_mean"] = len(values) / sum(1 / value for value in floored)
    return numbers


def reference_ece(confidence: list[float], correct: list[bool], num_bins: int) -> float:
    """Expected calibration error in percent, by a loop over half-open bins."""
    total = 0.0
    for m in range(num_bins):
        low, high = m / num_bins, (m + 1) / num_bins
        inside = [i for i, c in enumerate(confidence) if (low < c <= high) or (m == 0 and c == 0)]
        if inside:
            hit_rate = sum(correct[i] for i in inside) / len(inside)
            mean_confidence = sum(confidence[i] for i in inside) / len(inside)
            total += len(inside) / len(confidence) * abs(hit_rate - mean_confidence)
    return 100 * total
