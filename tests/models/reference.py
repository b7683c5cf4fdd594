"""Slow, obvious float64 references, written from the formulas."""

import math

import torch
import torch.nn.functional as F

from lt_plugins.models.structures import ContrastBatch


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


def two_view_contrast(num_images=6, num_classes=3, queue=7, unused=2, dim=5, seed=0, dtype=torch.float64):
    """Both views of some images, as anchors and candidates, and a queue with images from before and unused places.

    Of image ``i`` the views are candidates ``i`` and ``num_images + i``; image 0 is also in the queue.
    """
    generator = torch.Generator().manual_seed(seed)
    num_candidates = 2 * num_images + queue
    candidates = F.normalize(torch.randn(num_candidates, dim, generator=generator, dtype=dtype), dim=1)
    class_of = torch.randint(num_classes, (num_images + queue,), generator=generator)
    images = torch.arange(num_images)
    in_queue = torch.cat([images[:1], torch.arange(num_images, num_images + queue - 1)])
    samples = torch.cat([images, images, in_queue])
    labels = class_of[samples]
    if unused:
        labels[-unused:] = samples[-unused:] = -1
    positions = torch.arange(2 * num_images)
    return ContrastBatch(
        anchors=candidates[: 2 * num_images].clone().requires_grad_(),
        anchor_labels=labels[: 2 * num_images],
        candidates=candidates,
        candidate_labels=labels,
        anchor_positions=positions,
        other_view_positions=torch.cat([images + num_images, images]),
        anchor_samples=samples[: 2 * num_images],
        candidate_samples=samples,
    )


def others(contrast, i):
    """Candidates that anchor ``i`` is compared with: used places other than itself."""
    return [
        j
        for j in range(len(contrast.candidates))
        if j != int(contrast.anchor_positions[i]) and int(contrast.candidate_labels[j]) >= 0
    ]


def similarity(contrast, i, j, temperature):
    pairs = zip(contrast.anchors[i].tolist(), contrast.candidates[j].tolist(), strict=True)
    dot = sum(a * b for a, b in pairs)
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


def sbcl(contrast, subclass, tau1, tau2, beta, base=None):
    """SBCL's Eq. 4, one anchor after the other, with sets as the paper writes them; ``base``: of the released code."""
    total = 0.0
    for i in range(len(contrast.anchors)):
        other_view = int(contrast.other_view_positions[i])
        label = int(contrast.anchor_labels[i])
        own = int(subclass[contrast.anchor_samples[i]])
        v_tilde = set(others(contrast, i))
        v = v_tilde - {other_view}
        p = {j for j in v if int(contrast.candidate_labels[j]) == label}
        m = {j for j in p if int(subclass[contrast.candidate_samples[j]]) == own}
        m_tilde, p_tilde = m | {other_view}, p | {other_view}

        def term(positives, compared, temperature, i=i):
            denominator = sum(math.exp(similarity(contrast, i, a, temperature)) for a in compared)
            return sum(math.log(math.exp(similarity(contrast, i, j, temperature)) / denominator) for j in positives)

        total -= (tau1 / (base or tau1)) * term(m_tilde, v_tilde, tau1) / len(m_tilde)
        total -= beta * term(p_tilde - m, v_tilde - m, tau2[label]) / (len(p_tilde) - len(m))
    return total / len(contrast.anchors)


def tsc(contrast, is_positive, targets, temperature, omega, mean_over="all"):
    """TSC's loss, METHODS 8.3, one anchor after the other; ``is_positive(i, j)``: whether j was drawn for anchor i."""
    total = 0.0
    for i in range(len(contrast.anchors)):
        other_view = int(contrast.other_view_positions[i])
        images = [similarity(contrast, i, j, temperature) for j in others(contrast, i)]
        to_targets = [
            sum(float(a) * float(b) for a, b in zip(contrast.anchors[i], target, strict=True)) / temperature
            for target in targets
        ]
        denominator = sum(math.exp(value) for value in [*images, *to_targets])
        terms = [
            math.log(math.exp(similarity(contrast, i, j, temperature)) / denominator)
            for j in others(contrast, i)
            if j == other_view or is_positive(i, j)
        ]
        target_term = omega * math.log(math.exp(to_targets[int(contrast.anchor_labels[i])]) / denominator)
        if mean_over == "all":
            total -= (sum(terms) + target_term) / (len(terms) + 1)
        else:
            total -= sum(terms) / len(terms) + target_term
    return total / len(contrast.anchors)
