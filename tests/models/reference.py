"""Slow, obvious float64 references, written from the formulas."""

import math

import torch
import torch.nn.functional as F

from lt_plugins.structures import ContrastBatch


def random_contrast(num_anchors=6, num_candidates=17, num_classes=4, dim=5, unused=3, seed=0, dtype=torch.float64):
    """Anchors that are also candidates, some further candidates, and some unused places (label -1)."""
    generator = torch.Generator().manual_seed(seed)
    candidates = F.normalize(torch.randn(num_candidates, dim, generator=generator, dtype=dtype), dim=1)
    labels = torch.randint(num_classes, (num_candidates,), generator=generator)
    if unused:
        labels[-unused:] = -1
    positions = torch.randperm(num_candidates - unused, generator=generator)[:num_anchors]
    anchors = candidates[positions].clone().requires_grad_()
    return ContrastBatch(anchors, labels[positions], candidates, labels, positions)


def others(contrast, i):
    """Candidates that anchor ``i`` is compared with: used places other than itself."""
    return [
        j
        for j in range(len(contrast.candidates))
        if j != int(contrast.anchor_positions[i]) and int(contrast.candidate_labels[j]) >= 0
    ]


def similarity(contrast, i, j, temperature):
    dot = sum(float(a) * float(b) for a, b in zip(contrast.anchors[i], contrast.candidates[j], strict=True))
    return dot / temperature


def paco(logits, counts, contrast, alpha, beta, gamma, temperature):
    """PaCo's loss, METHODS 10(a), one anchor after the other."""
    total = 0.0
    for i in range(len(contrast.anchors)):
        label = int(contrast.anchor_labels[i])
        u = [float(z) + math.log(n / sum(counts) + 1e-9) for z, n in zip(logits[i], counts, strict=True)]
        denominator = sum(math.exp(value) for value in u)
        for j in others(contrast, i):
            denominator += gamma * math.exp(similarity(contrast, i, j, temperature))
        numerator = beta * math.log(math.exp(u[label]) / denominator)
        weight = beta
        for j in others(contrast, i):
            if int(contrast.candidate_labels[j]) == label:
                numerator += alpha * math.log(math.exp(similarity(contrast, i, j, temperature)) / denominator)
                weight += alpha
        total -= numerator / weight
    return total / len(contrast.anchors)


def supcon(contrast, weight_of, temperature):
    """Weighted supervised contrastive loss; ``weight_of(i, j)`` is how positive candidate j is for anchor i."""
    total = 0.0
    for i in range(len(contrast.anchors)):
        compared = others(contrast, i)
        denominator = sum(math.exp(similarity(contrast, i, j, temperature)) for j in compared)
        numerator = sum(
            weight_of(i, j) * math.log(math.exp(similarity(contrast, i, j, temperature)) / denominator)
            for j in compared
        )
        weight = sum(weight_of(i, j) for j in compared)
        total -= numerator / weight if weight else 0.0
    return total / len(contrast.anchors)
