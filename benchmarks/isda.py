"""Benchmark of implicit semantic data augmentation: time and memory of the quadratic form.

Loss and gradient of ISDA's bound, by this package (one table of pairs of groups) and by a direct evaluation that
follows the formula for each feature: the differences of the classifier's rows, an ``(N, C, D)`` tensor, and the
covariance of each feature's group. Two sizes: latent categories of LCReg on ImageNet-LT (each of the M = 100 is one
feature, D = 2048) and classes of CIFAR-100 in a large batch (C = 100, D = 64, N = 1024). Each evaluation runs in a
process of its own; its memory is that of the tensors it makes, inputs apart. At the end both are compared in float64.

    python benchmarks/isda.py [--repeats 5]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from lt_plugins.models.losses import ISDALoss, LatentISDALoss

MIN_SPEEDUP, MIN_MEMORY_RATIO, TOLERANCE = 5, 10, 1e-5
STRENGTH = 0.5


class Case(NamedTuple):
    """Sizes of an evaluation.

    Args:
        groups (int): Classes or latent categories ``C``.
        channels (int): Length of the features ``D``.
        features (int): Features ``N``; as many as groups for latent categories, each its own.
        form (str): How covariances are stored.
    """

    groups: int
    channels: int
    features: int
    form: str


CASES = {
    "latent, diagonal": Case(100, 2048, 100, "diagonal"),
    "latent, full": Case(100, 2048, 100, "full"),
    "classes, diagonal": Case(100, 64, 1024, "diagonal"),
    "classes, full": Case(100, 64, 1024, "full"),
}
BARS = ("latent, diagonal", "classes, full")
"""The forms that are the defaults at these sizes."""


class Inputs(NamedTuple):
    """What an evaluation reads: features ``(N, D)``, labels ``(N,)``, weight ``(C, D)`` and covariances as stored."""

    features: Tensor
    labels: Tensor
    weight: Tensor
    covariance: Tensor


def make_inputs(case: Case, dtype: torch.dtype) -> Inputs:
    """Random inputs with positive semidefinite covariances."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    features = normal(case.features, case.channels)
    weight = normal(case.groups, case.channels) / case.channels**0.5
    is_latent = case.features == case.groups
    labels = (
        torch.arange(case.groups) if is_latent else torch.randint(case.groups, (case.features,), generator=generator)
    )
    if case.form == "diagonal":
        return Inputs(features, labels, weight, normal(case.groups, case.channels).square())
    factor = normal(case.groups, case.channels, 16)
    return Inputs(features, labels, weight, factor @ factor.mT / 16)


def ours(case: Case, inputs: Inputs) -> Tensor:
    """The loss as the package computes it; the gradient is left in ``weight.grad``."""
    loss: LatentISDALoss | ISDALoss
    kind = LatentISDALoss if case.features == case.groups else ISDALoss
    with torch.device("meta"):  # its own covariances would count as memory
        loss = kind(case.groups, case.channels, covariance=case.form)
    loss.register_buffer(f"{loss.group}_covariance", inputs.covariance)
    loss.strength = inputs.features.new_tensor(STRENGTH)
    value = loss.augmented_losses(inputs.features, inputs.labels, inputs.weight, None).mean()
    value.backward()
    return value


def direct(case: Case, inputs: Inputs) -> Tensor:
    """The formula for each feature; the gradient is left in ``weight.grad``."""
    own = inputs.weight[inputs.labels]  # (N, D)
    difference = inputs.weight[None] - own[:, None]  # (N, C, D)
    covariance = inputs.covariance[inputs.labels]
    if case.form == "diagonal":
        quadratic = (difference.square() * covariance[:, None]).sum(dim=2)
    else:
        quadratic = (difference @ covariance * difference).sum(dim=2)
    logits = inputs.features @ inputs.weight.T
    value = F.cross_entropy(logits + STRENGTH / 2 * quadratic, inputs.labels)
    value.backward()
    return value


METHODS = {"ours": ours, "direct": direct}


def peak_memory(case: Case, method: str, inputs: Inputs) -> int:
    """Bytes that tensors of one evaluation take at most, beside its inputs, by PyTorch's record of allocations."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        METHODS[method](case, inputs)
    now = peak = 0
    for event in sorted(profiler.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    return peak


def measure(name: str, method: str, repeats: int) -> dict[str, float]:
    """Median time and peak memory of one evaluation, in this process."""
    case = CASES[name]
    inputs = make_inputs(case, torch.float32)
    inputs.weight.requires_grad_()
    peak = peak_memory(case, method, inputs)  # also warms up
    times = []
    for _ in range(repeats):
        inputs.weight.grad = None
        begin = time.perf_counter()
        METHODS[method](case, inputs)
        times.append(time.perf_counter() - begin)
    return {"ms": 1e3 * statistics.median(times), "mb": peak / 2**20}


def largest_difference(case: Case) -> float:
    """Largest relative difference of losses and gradients in float64."""
    results = []
    for method in METHODS.values():
        inputs = make_inputs(case, torch.float64)
        inputs.weight.requires_grad_()
        value = method(case, inputs)
        assert inputs.weight.grad is not None
        results.append((value.detach(), inputs.weight.grad))
    (value, gradient), (expected, expected_gradient) = results
    return max(
        float((value - expected).abs() / expected.abs()),
        float((gradient - expected_gradient).abs().max() / expected_gradient.abs().max()),
    )


def run(name: str, method: str, repeats: int) -> dict[str, float]:
    """Measure in a fresh process."""
    command = [sys.executable, __file__, "--one", name, method, "--repeats", str(repeats)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return measured


def main() -> None:
    """Measure, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--one", nargs=2, metavar=("CASE", "METHOD"), help="measure one evaluation and print JSON")
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one[0], args.one[1], args.repeats)))
        return
    print(f"torch {torch.__version__} with {torch.get_num_threads()} threads; loss and gradient, float32")
    print(f"{'':>20} {'ours ms':>9} {'direct ms':>10} {'faster':>7} {'ours MB':>8} {'direct MB':>10} {'smaller':>8}")
    passed = {}
    for name in CASES:
        # The direct evaluation in full takes seconds.
        mine, other = (run(name, method, args.repeats) for method in METHODS)
        faster, smaller = other["ms"] / mine["ms"], other["mb"] / mine["mb"]
        print(
            f"{name:>20} {mine['ms']:9.2f} {other['ms']:10.2f} {faster:6.1f}x "
            f"{mine['mb']:8.1f} {other['mb']:10.1f} {smaller:7.1f}x",
            flush=True,
        )
        passed[name] = faster >= MIN_SPEEDUP and smaller >= MIN_MEMORY_RATIO
    for name in BARS:
        bar = f"{MIN_SPEEDUP} times faster, {MIN_MEMORY_RATIO} times less memory"
        print(f"{'PASS' if passed[name] else 'FAIL'}  {name}: {bar}")
    for name, case in CASES.items():
        # The direct evaluation in float64 would need 10 GB at the full size.
        small = case._replace(channels=min(case.channels, 256)) if case.form != "diagonal" else case
        difference = largest_difference(small)
        at = f" at D = {small.channels}" if small != case else ""
        print(f"{'PASS' if difference <= TOLERANCE else 'FAIL'}  {name}{at}: equal to {difference:.1e} in float64")


if __name__ == "__main__":
    main()
