"""Bare training loops of CE, SCL, PaCo and LPA, what `benchmarks/throughput.py` measures everything else against.

Written from the papers in plain PyTorch, with nothing of this package or of OpenMMLab: tensors in memory, the network,
the loss, SGD. No augmentation, no normalisation, no log, no checkpoint, one process.
`tests/benchmarks/test_bare_loop.py` shows that they take the steps that `tools/train.py` takes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters (He et al., CVPR 2016, option A).

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        stride (int): Of the first convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.stride = stride
        self.padding = (out_channels - in_channels) // 2

    def forward(self, x: Tensor) -> Tensor:
        """Compute the map of the block."""
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)), inplace=True)))
        if self.stride > 1:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.padding, self.padding))
        return F.relu(out + x, inplace=True)


class ResNet32(nn.Module):
    """ResNet-32 for images of 32x32, to the pooled feature (64 channels)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*[BasicBlock(16, 16, 1) for _ in range(5)])
        self.layer2 = nn.Sequential(BasicBlock(16, 32, 2), *[BasicBlock(32, 32, 1) for _ in range(4)])
        self.layer3 = nn.Sequential(BasicBlock(32, 64, 2), *[BasicBlock(64, 64, 1) for _ in range(4)])

    def forward(self, x: Tensor) -> Tensor:
        """Images ``(B, 3, 32, 32)`` to features ``(B, 64)``."""
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return self.layer3(self.layer2(self.layer1(x))).mean(dim=(2, 3))


class CrossEntropy(nn.Module):
    """CE: one view, a linear classifier.

    Args:
        num_classes (int): Number of classes ``C``.
    """

    num_views = 1

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.net = ResNet32()
        self.fc = nn.Linear(64, num_classes)

    def forward(self, views: list[Tensor], labels: Tensor) -> Tensor:
        """Compute the loss of a batch.

        Args:
            views (list[Tensor]): One tensor of images, shape ``(B, 3, 32, 32)``.
            labels (Tensor): Their classes, int64 ``(B,)``.
        """
        return F.cross_entropy(self.fc(self.net(views[0])), labels)


class SupervisedContrast(nn.Module):
    """SCL: both views in one batch, and a linear probe on detached, standardised features (balanced softmax).

    Args:
        class_counts (Tensor): Images of each class, shape ``(C,)``.
        temperature (float): Temperature ``T`` of the contrast. Defaults to 0.1.
    """

    num_views = 2

    def __init__(self, class_counts: Tensor, temperature: float = 0.1) -> None:
        super().__init__()
        self.net = ResNet32()
        self.projector = nn.Sequential(nn.Linear(64, 64), nn.ReLU(inplace=True), nn.Linear(64, 128))
        self.standardise = nn.BatchNorm1d(64, affine=False)
        self.fc = nn.Linear(64, len(class_counts))
        self.temperature = temperature
        self.register_buffer("log_priors", (class_counts / class_counts.sum()).log())

    def forward(self, views: list[Tensor], labels: Tensor) -> Tensor:
        """Compute the loss of a batch.

        Args:
            views (list[Tensor]): Two tensors of images, each of shape ``(B, 3, 32, 32)``.
            labels (Tensor): Their classes, int64 ``(B,)``.
        """
        features = self.net(torch.cat(views))
        labels = labels.repeat(2)
        projections = F.normalize(self.projector(features), dim=1)
        contrast = supervised_contrast(projections, projections, labels, labels, self.temperature)
        logits = self.fc(self.standardise(features.detach())) + self.log_priors
        return contrast + F.cross_entropy(logits, labels)


class ParametricContrast(nn.Module):
    """PaCo, and with attributes LPA: queries, keys of a momentum encoder, a queue and centres of the classes.

    Args:
        class_counts (Tensor): Images of each class, shape ``(C,)``.
        attributes (Tensor, optional): LPA: which attributes a class has, bool ``(C, K)``. Defaults to None, PaCo.
        queue_size (int): Keys that are kept. Defaults to 1024.
    """

    num_views = 2
    alpha, temperature, momentum, attribute_weight = 0.01, 0.05, 0.999, 0.1
    log_priors: Tensor
    attributes: Tensor | None
    queue: Tensor
    queue_labels: Tensor

    def __init__(self, class_counts: Tensor, attributes: Tensor | None = None, queue_size: int = 1024) -> None:
        super().__init__()
        self.net = ResNet32()
        self.projector = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(inplace=True), nn.Linear(64, 32))
        self.fc = nn.Linear(64, len(class_counts))
        self.key_encoder = copy.deepcopy(nn.Sequential(self.net, self.projector)).requires_grad_(False)
        self.register_buffer("log_priors", (class_counts / class_counts.sum() + 1e-9).log())
        self.register_buffer("attributes", attributes)
        self.register_buffer("queue", torch.zeros(queue_size, 32))
        self.register_buffer("queue_labels", torch.full((queue_size,), -1))
        self.first_slot = 0

    def forward(self, views: list[Tensor], labels: Tensor) -> Tensor:
        """Compute the loss of a batch, move the key encoder and enqueue the keys.

        Args:
            views (list[Tensor]): Two tensors of images, each of shape ``(B, 3, 32, 32)``.
            labels (Tensor): Their classes, int64 ``(B,)``.
        """
        features = self.net(views[0])
        queries = F.normalize(self.projector(features), dim=1)
        with torch.no_grad():
            own: list[Tensor] = [*self.net.parameters(), *self.projector.parameters()]
            followers: list[Tensor] = [*self.key_encoder.parameters()]
            torch._foreach_lerp_(followers, own, 1 - self.momentum)
            keys = F.normalize(self.key_encoder(views[1]), dim=1)
        candidates = torch.cat([queries, keys, self.queue.clone()])
        candidate_labels = torch.cat([labels, labels, self.queue_labels])
        logits = self.fc(features) + self.log_priors
        loss = self.parametric_contrast(logits, queries, candidates, labels, candidate_labels)
        if self.attributes is not None:
            shared = self.share_of_attributes(self.attributes.to(queries.dtype), labels, candidate_labels)
            loss = loss + self.attribute_weight * supervised_contrast(
                queries, candidates, labels, candidate_labels, self.temperature, shared
            )
        slots = (self.first_slot + torch.arange(len(keys), device=keys.device)) % len(self.queue)
        self.queue[slots], self.queue_labels[slots] = keys, labels
        self.first_slot = (self.first_slot + len(keys)) % len(self.queue)
        return loss

    def parametric_contrast(
        self, logits: Tensor, queries: Tensor, candidates: Tensor, labels: Tensor, candidate_labels: Tensor
    ) -> Tensor:
        """PaCo's loss, its equation 5.

        Args:
            logits (Tensor): Logits of the centres with the prior, shape ``(B, C)``.
            queries (Tensor): Unit rows, shape ``(B, D)``.
            candidates (Tensor): Unit rows, the first ``B`` the queries themselves, shape ``(A, D)``.
            labels (Tensor): Of the queries, int64 ``(B,)``.
            candidate_labels (Tensor): Int64 ``(A,)``, -1 of an empty slot.
        """
        scores = queries @ candidates.T / self.temperature
        compared = is_compared(labels, candidate_labels)
        positive = compared & (labels[:, None] == candidate_labels)
        everything = torch.cat([logits, scores.masked_fill(~compared, -torch.inf)], dim=1).logsumexp(dim=1)
        centre = logits.gather(1, labels[:, None]).squeeze(1) - everything
        others = ((scores - everything[:, None]) * positive).sum(dim=1)
        weight = 1 + self.alpha * positive.sum(dim=1, dtype=scores.dtype)
        return -((centre + self.alpha * others) / weight).mean()

    @staticmethod
    def share_of_attributes(attributes: Tensor, labels: Tensor, candidate_labels: Tensor) -> Tensor:
        """Jaccard index of the attributes of two classes, 1 of a class with itself, shape ``(B, A)``.

        Args:
            attributes (Tensor): 1 where a class has an attribute, shape ``(C, K)``.
            labels (Tensor): Of the queries, int64 ``(B,)``.
            candidate_labels (Tensor): Int64 ``(A,)``, -1 of an empty slot.
        """
        one, other = attributes[labels], attributes[candidate_labels.clamp(min=0)]
        both = one @ other.T
        either = one.sum(dim=1)[:, None] + other.sum(dim=1) - both
        return torch.where(labels[:, None] == candidate_labels, 1.0, both / either.clamp(min=1))


Method = CrossEntropy | SupervisedContrast | ParametricContrast


def is_compared(labels: Tensor, candidate_labels: Tensor) -> Tensor:
    """Which candidates an anchor is compared with: all but itself and empty slots, bool ``(M, A)``.

    Args:
        labels (Tensor): Of the anchors, which are the first candidates, int64 ``(M,)``.
        candidate_labels (Tensor): Int64 ``(A,)``, -1 of an empty slot.
    """
    compared = (candidate_labels >= 0).repeat(len(labels), 1)
    compared.fill_diagonal_(False)
    return compared


def supervised_contrast(
    anchors: Tensor,
    candidates: Tensor,
    labels: Tensor,
    candidate_labels: Tensor,
    temperature: float,
    weights: Tensor | None = None,
) -> Tensor:
    """SupCon's loss, its equation 2, whose positives may have weights.

    Args:
        anchors (Tensor): Unit rows, shape ``(M, D)``.
        candidates (Tensor): Unit rows, the first ``M`` the anchors themselves, shape ``(A, D)``.
        labels (Tensor): Of the anchors, int64 ``(M,)``.
        candidate_labels (Tensor): Int64 ``(A,)``, -1 of an empty slot.
        temperature (float): Temperature ``T``.
        weights (Tensor, optional): How much a candidate is a positive, shape ``(M, A)``. Defaults to 1 in a class.
    """
    compared = is_compared(labels, candidate_labels)
    scores = (anchors @ candidates.T / temperature).masked_fill(~compared, -torch.inf)
    log_probabilities = (scores - scores.logsumexp(dim=1, keepdim=True)).masked_fill(~compared, 0.0)
    same_class = (labels[:, None] == candidate_labels).to(scores.dtype)
    weights = (same_class if weights is None else weights) * compared
    return -((weights * log_probabilities).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-30)).mean()


def train(
    model: Method, views: list[Tensor], labels: Tensor, batch_size: int, optimizer: torch.optim.Optimizer
) -> Iterator[None]:
    """Train over shuffled tensors without end; what comes out says that a step is done.

    Args:
        model (Method): Network and loss.
        views (list[Tensor]): As many as the loss wants, each of shape ``(N, 3, 32, 32)``.
        labels (Tensor): Classes of the images, int64 ``(N,)``.
        batch_size (int): Images a step; the rest of an epoch is left out.
        optimizer (Optimizer): Of the parameters of the model.
    """
    while True:
        order = torch.randperm(len(labels), device=labels.device)
        for batch in order[: len(order) // batch_size * batch_size].split(batch_size):
            loss = model([view[batch] for view in views], labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield
