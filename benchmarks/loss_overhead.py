"""Benchmark of the losses: time of a step beside that of the network.

Times, in turn in one run, a training step of each method at the sizes of CIFAR-100-LT (ResNet-32, 100 classes, batch
128; PaCo and LPA with a queue of 1024, LPA with 128 attributes, SBCL with the subclasses of 10,847 images, LCReg with
50 latent categories) and, of that step, the arithmetic of the losses: from the features of both views (LCReg: from the
feature maps) to the loss and back. Medians, so that other processes on the machine disturb little.

    python benchmarks/loss_overhead.py [--device cuda]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from mmpretrain.models import ImageClassifier
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from lt_plugins.models.classifiers import MomentumClassifier, TwoViewClassifier
from lt_plugins.models.losses import SBCLLoss
from lt_plugins.models.structures import ClassDistribution
from lt_plugins.models.structures.contrast_batch import compare_views
from lt_plugins.runs.config import read_stages

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = {
    "PaCo": "configs/paco/paco_r32_cifar100-lt.py",
    "LPA": "configs/lpa/lpa_r32_cifar100-lt.py",
    "SCL": "configs/scl/scl_r32_cifar100-lt.py:stage1",
    "KCL": "configs/kcl/kcl_r32_cifar100-lt.py:stage1",
    "SBCL": "configs/sbcl/sbcl_r32_cifar100-lt.py:stage1",
    "mixup": "configs/mislas/mislas_r32_cifar100-lt.py:stage1",
    "LCReg": "configs/lcreg/lcreg_r32_cifar100-lt.py:stage1",
}
BASES = {"LPA": "PaCo", "KCL": "SCL", "SBCL": "SCL", "LCReg": "mixup"}
"""The method whose step a method adds to."""
NUM_CLASSES = 100
NUM_IMAGES = 10_847
NUM_SUBCLASSES = 1_128


def build(config: str, device: torch.device) -> ImageClassifier:
    """The model of a config with class counts and, if it has them, a full queue, attributes or subclasses.

    Args:
        config (str): Path below the repository root.
        device (torch.device): Where it runs.
    """
    torch.manual_seed(0)
    model = MODELS.build(read_stages(str(ROOT / config))[0].model).to(device).train()
    for module in model.modules():
        if isinstance(module, ClassDistribution):
            module.set_counts(torch.logspace(2.7, 0.7, NUM_CLASSES).long())
    if not isinstance(model, TwoViewClassifier):
        return model
    queue = model.queue
    queue.enqueue(
        F.normalize(torch.randn(queue.features.shape, device=device), dim=1),
        torch.randint(NUM_CLASSES, (queue.size,), device=device),
        torch.randint(NUM_IMAGES, (queue.size,), device=device),
    )
    if isinstance(model.head.loss_module, SBCLLoss):
        model.head.loss_module.set_subclasses(torch.randint(NUM_SUBCLASSES, (NUM_IMAGES,), device=device))
        model.head.loss_module.set_class_temperatures(torch.full((NUM_CLASSES,), 0.25, device=device))
    if hasattr(model.head, "set_attributes"):
        model.head.set_attributes(
            F.normalize(torch.rand_like(model.head.prototypes), dim=1), torch.rand_like(model.head.class_attributes)
        )
    return model


def make_steps(
    model: TwoViewClassifier, batch_size: int, device: torch.device
) -> tuple[Callable[[], None], Callable[[], None]]:
    """A whole training step without the optimiser, and the loss arithmetic alone.

    Args:
        model (TwoViewClassifier): What is trained.
        batch_size (int): Images a batch.
        device (torch.device): Where it runs.
    """
    views = [torch.randn(batch_size, 3, 32, 32, device=device) for _ in range(2)]
    labels = torch.randint(NUM_CLASSES, (batch_size,), device=device)
    indices = torch.randint(NUM_IMAGES, (batch_size,))
    samples = [
        DataSample(metainfo={"sample_idx": int(index)}).set_gt_label(label[None])
        for index, label in zip(indices, labels, strict=True)
    ]
    num_anchor_views = 1 if isinstance(model, MomentumClassifier) else 2
    pooled = torch.randn(num_anchor_views * batch_size, 64, device=device)
    dim = model.queue.features.shape[1]
    queries, keys = (F.normalize(torch.randn(batch_size, dim, device=device), dim=1) for _ in range(2))

    def step() -> None:
        torch.stack(list(model.loss(views, samples).values())).sum().backward()
        model.zero_grad()

    def losses() -> None:
        views = queries.clone().requires_grad_(), keys.clone().requires_grad_(num_anchor_views == 2)
        contrast = compare_views(views, labels, indices.to(device), model.queue, num_anchor_views)
        values = model.head.loss((pooled.clone().requires_grad_(),), samples, contrast=contrast).values()
        torch.stack(list(values)).sum().backward()
        model.zero_grad()

    return step, losses


def make_mixed_steps(
    model: ImageClassifier, batch_size: int, device: torch.device
) -> tuple[Callable[[], None], Callable[[], None]]:
    """The same for a classifier of single views whose images are mixed.

    Args:
        model (ImageClassifier): What is trained.
        batch_size (int): Images a batch.
        device (torch.device): Where it runs.
    """
    images = torch.randn(batch_size, 3, 32, 32, device=device)
    scores = torch.rand(batch_size, NUM_CLASSES, device=device).softmax(dim=1)
    samples = [DataSample().set_gt_score(score) for score in scores]
    feats = model.extract_feat(images)

    def step() -> None:
        sum(model.loss(images, samples).values()).backward()
        finish()

    def losses() -> None:
        sum(model.head.loss(tuple(feat.detach().requires_grad_() for feat in feats), samples).values()).backward()
        finish()

    def finish() -> None:
        model.zero_grad()
        if hasattr(model.head, "update_covariance"):
            model.head.update_covariance()

    return step, losses


def seconds(function: Callable[[], None], device: torch.device) -> float:
    """Time of one call.

    Args:
        function (Callable): What to call.
        device (torch.device): Whose work to wait for.
    """
    begin = time.perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default="cpu")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=15)
    args = parser.parse_args()
    functions: dict[tuple[str, str], Callable[[], None]] = {}
    for name, config in CONFIGS.items():
        model = build(config, args.device)
        make = make_steps if isinstance(model, TwoViewClassifier) else make_mixed_steps
        step, losses = make(model, args.batch_size, args.device)
        functions |= {(name, "step"): step, (name, "losses"): losses}
    times: dict[tuple[str, str], list[float]] = {key: [] for key in functions}
    for repetition in range(args.steps + 2):
        for key, function in functions.items():
            elapsed = seconds(function, args.device)
            if repetition >= 2:  # warm
                times[key].append(elapsed)
    median = {key: statistics.median(values) for key, values in times.items()}
    print(f"{'method':>8} {'step ms':>8} {'losses ms':>10} {'share':>7}")
    for name in CONFIGS:
        step_time, loss_time = median[name, "step"], median[name, "losses"]
        print(f"{name:>8} {1e3 * step_time:>8.1f} {1e3 * loss_time:>10.2f} {loss_time / step_time:>7.1%}")
    for name, base in BASES.items():
        added = median[name, "losses"] - median[base, "losses"]
        print(f"{name} adds {1e3 * added:.2f} ms to {base}'s step, {added / median[base, 'step']:.1%} of it")


if __name__ == "__main__":
    main()
