"""Benchmark of the order in memory: a training step channels last, and compiled, beside a contiguous one.

The steps (forward, backward, update of SGD with momentum) take turns in one process, so that a busy machine slows all
of them; the ratios are those of the medians of the time.

    OMP_NUM_THREADS=1 python benchmarks/memory_format.py
    OMP_NUM_THREADS=1 python benchmarks/memory_format.py CIFARResNet-32:128x32 --compile
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import mmpretrain.models  # noqa: F401 (registers)
import torch
from mmpretrain.registry import MODELS
from torch import nn

import lt_plugins.plugins  # noqa: F401 (registers)
from lt_plugins.models.memory_format import convert_convolutions

CASES = (
    "CIFARResNet-32:128x32",
    "ResNet-18:128x64",
    "ResNet-18:16x64",
    "ResNet-50:2x96",
    "ResNet-50:2x224",
    "ResNet-152:1x96",
    "ResNeXt-50:2x96",
    "ResNeXt-50:2x224",
)


def make_step(model: nn.Module, batch_size: int, size: int, device: str) -> Callable[[], None]:
    """A training step of a backbone on random images.

    Args:
        model (nn.Module): The backbone.
        batch_size (int): Number of images.
        size (int): Their height and width.
        device (str): Where it computes.
    """
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    images = torch.randn(batch_size, 3, size, size, device=device)

    def step() -> None:
        loss = model(images)[-1].mean(dim=(2, 3)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return step


def compare(case: str, rounds: int, device: str, with_compiled: bool) -> str:
    """Time a network in each way.

    Args:
        case (str): ``NETWORK-DEPTH:BATCHxSIZE``.
        rounds (int): Steps of each way that are timed.
        device (str): Where it computes.
        with_compiled (bool): Whether to compile it too.

    Returns:
        str: A line of the table.
    """
    network, _, shape = case.partition(":")
    name, depth = network.split("-")
    batch_size, size = map(int, shape.split("x"))
    clock = time.process_time if device == "cpu" else time.perf_counter
    steps = {}
    for way in ("contiguous", "channels last", *(["compiled"] if with_compiled else [])):
        torch.manual_seed(0)
        model = MODELS.build({"type": name, "depth": int(depth)}).to(device)
        model.train()
        if way != "contiguous":
            convert_convolutions(model, torch.channels_last)
        if way == "compiled":
            model.compile()
        steps[way] = make_step(model, batch_size, size, device)
    seconds: dict[str, list[float]] = {way: [] for way in steps}
    for number in range(rounds + 1):
        for way, step in steps.items():
            begin = clock()
            step()
            seconds[way].append(clock() - begin)
            if number == 0:
                first = seconds[way].pop()  # with all that is prepared once
    medians = {way: statistics.median(times) for way, times in seconds.items()}
    ratios = "".join(f"{medians['contiguous'] / medians[way]:>15.2f}x" for way in list(steps)[1:])
    compiling = f"{first:>12.0f} s" if with_compiled else ""
    return f"{case:>22} {1000 * medians['contiguous']:>10.0f} ms{ratios}{compiling}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=CASES, metavar="NETWORK-DEPTH:BATCHxSIZE")
    parser.add_argument("--rounds", type=int, default=5, help="steps of each way (default: %(default)s)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--compile", action="store_true", help="compile, channels last")
    args = parser.parse_args()
    print(f"torch {torch.__version__} on {args.device} with {torch.get_num_threads()} threads; times as fast")
    columns = f"{'compiled':>16}{'first step':>14}" if args.compile else ""
    print(f"{'network, images':>22} {'contiguous':>13}{'channels last':>16}{columns}")
    for case in args.cases:
        print(compare(case, args.rounds, args.device, args.compile), flush=True)


if __name__ == "__main__":
    main()
