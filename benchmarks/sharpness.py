"""Benchmark of the optimiser wrappers that pass each batch twice: time of a step beside that of SGD.

Whole training steps of a ResNet-32 at the sizes of CIFAR-100-LT (100 classes, batch 128), the optimiser's update
included, one of each wrapper in turn. Medians, so that other processes on the machine disturb little. By arithmetic,
with a backward pass of twice the time of a forward one, SAM takes 2 times as long as SGD, ImbSAM and Focal-SAM (two
forward and three backward passes) 8/3 times.

    python benchmarks/sharpness.py [--device cuda]
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import init_default_scope
from mmpretrain.models import ImageClassifier
from mmpretrain.registry import MODELS

import lt_plugins.plugins  # noqa: F401
from lt_plugins.models.structures import ClassDistribution, LabelBatch
from lt_plugins.runs.config import read_stages

ROOT = Path(__file__).resolve().parents[1]
CONFIG = "configs/sam/sam_r32_cifar100-lt.py"
WRAPPERS: dict[str, dict[str, Any]] = {
    "SGD": {"type": "OptimWrapper"},
    "SAM": {"type": "SAMOptimWrapper", "rho": 0.2},
    "ImbSAM": {"type": "ImbSAMOptimWrapper", "rho": 0.05},
    "Focal-SAM": {"type": "FocalSAMOptimWrapper", "rho": 0.3},
}


def build(wrapper: dict[str, Any], device: torch.device) -> tuple[ImageClassifier, OptimWrapper]:
    """A model with class counts and its optimiser.

    Args:
        wrapper (dict): Config of the optimiser wrapper, without the optimiser.
        device (torch.device): Where it runs.
    """
    cfg = read_stages(str(ROOT / CONFIG))[0]
    init_default_scope("mmpretrain")
    torch.manual_seed(0)
    model = MODELS.build({**cfg.model, "data_preprocessor": cfg.data_preprocessor}).to(device).train()
    for module in model.modules():
        if isinstance(module, ClassDistribution):
            module.set_counts(torch.logspace(2.7, 0.7, 100).long())
    return model, build_optim_wrapper(model, {**wrapper, "optimizer": cfg.optim_wrapper.optimizer.to_dict()})


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default="cpu")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=15)
    args = parser.parse_args()
    trained = {name: build(wrapper, args.device) for name, wrapper in WRAPPERS.items()}
    images = torch.randint(256, (args.batch_size, 3, 32, 32), dtype=torch.uint8)
    batch = {"inputs": images, "data_samples": LabelBatch(torch.randint(100, (args.batch_size,)))}
    times: dict[str, list[float]] = {name: [] for name in trained}
    for repetition in range(args.steps + 2):
        for name, (model, wrapper) in trained.items():
            begin = time.perf_counter()
            model.train_step(batch, wrapper)
            if args.device.type == "cuda":
                torch.cuda.synchronize(args.device)
            if repetition >= 2:  # warm
                times[name].append(time.perf_counter() - begin)
    median = {name: statistics.median(values) for name, values in times.items()}
    print(f"{'':>9} {'step ms':>8} {'/ SGD':>6}")
    for name, value in median.items():
        print(f"{name:>9} {1e3 * value:>8.1f} {value / median['SGD']:>6.2f}")


if __name__ == "__main__":
    main()
