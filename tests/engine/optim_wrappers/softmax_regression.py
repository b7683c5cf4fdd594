"""Softmax regression by mmengine, and its steps by NumPy from the formulas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from lt_plugins.models.losses import LongTailLoss, WeightedCrossEntropyLoss

COUNTS = [50, 20, 8, 3]
LR, MOMENTUM, DECAY = 0.3, 0.9, 0.05


class Head(nn.Module):
    """A linear classifier with its loss, named as in mmpretrain."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.fc = nn.Linear(5, len(COUNTS))
        self.loss_module = loss


class Regression(BaseModel):
    """Linear logits and a loss of them, in float64."""

    def __init__(self, loss: nn.Module | None = None) -> None:
        super().__init__()
        self.head = Head(loss or WeightedCrossEntropyLoss())
        generator = torch.Generator().manual_seed(0)
        for parameter in self.head.parameters():
            nn.init.normal_(parameter, generator=generator)
        if isinstance(self.head.loss_module, LongTailLoss):
            self.head.loss_module.class_distribution.set_counts(COUNTS)
        self.double()

    def forward(self, inputs: Tensor, labels: Tensor, mode: str = "loss") -> dict[str, Tensor]:
        assert mode == "loss"
        return {"loss": self.head.loss_module(self.head.fc(inputs), labels)}


def sgd(model: nn.Module) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=DECAY)


def batches(number: int = 4, size: int = 6) -> list[dict[str, Tensor]]:
    """The second one has images of the two most frequent classes alone."""
    random = np.random.default_rng(0)
    labels = [random.integers(2 if step == 1 else len(COUNTS), size=size) for step in range(number)]
    return [
        {"inputs": torch.from_numpy(random.normal(size=(size, 5))), "labels": torch.from_numpy(chosen)}
        for chosen in labels
    ]


def mean_gradient(weights: Sequence[np.ndarray], batch: dict[str, Tensor], share: np.ndarray) -> list[np.ndarray]:
    """Gradient of ``sum_i share[y_i] CE_i / B`` by weight and bias."""
    images, labels = batch["inputs"].numpy(), batch["labels"].numpy()
    gradient = [np.zeros_like(value) for value in weights]
    for image, label in zip(images, labels, strict=True):
        logits = weights[0] @ image + weights[1]
        error = np.exp(logits - logits.max())
        error /= error.sum()
        error[label] -= 1
        gradient[0] += share[label] * np.outer(error, image) / len(images)
        gradient[1] += share[label] * error / len(images)
    return gradient


def perturb(weights: Sequence[np.ndarray], gradient: Sequence[np.ndarray], rho: float) -> list[np.ndarray]:
    norm = np.sqrt(sum(float((part**2).sum()) for part in gradient))
    return [value + rho * part / (norm + 1e-12) for value, part in zip(weights, gradient, strict=True)]


class Descent:
    """SGD with momentum and weight decay."""

    def __init__(self, model: Regression) -> None:
        self.weights = [parameter.detach().numpy().copy() for parameter in model.parameters()]
        self.momenta: list[Any] = [None, None]

    def step(self, gradient: Sequence[np.ndarray]) -> None:
        for index, (value, part) in enumerate(zip(self.weights, gradient, strict=True)):
            decayed = part + DECAY * value
            momentum = self.momenta[index]
            self.momenta[index] = decayed if momentum is None else MOMENTUM * momentum + decayed
            self.weights[index] = value - LR * self.momenta[index]


def check(model: Regression, descent: Descent) -> None:
    for parameter, expected in zip(model.parameters(), descent.weights, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-12, atol=1e-13)
