"""Benchmark of augmentation: whole batches of images in memory beside the pipeline of one image.

For the train pipeline of a few configs, in turn in one run: time an image of the per-image pipeline (loading an array,
augmentation and packing, all views), and of the batched form, a batch at a time and a whole epoch ahead. Medians of
process CPU time, so that other processes on the machine disturb little.

    python benchmarks/augmentation.py [--device cuda] [--images 2048] [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.registry import init_default_scope

import lt_plugins.plugins  # noqa: F401 (registers)
from lt_plugins.augmentation.resident_images import ResidentImages
from lt_plugins.datasets.batched_forms import pipeline_form
from lt_plugins.runs.config import read_stages

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = {
    "crop, flip": "configs/ce/ce_r32_cifar100-lt.py",
    "PaCo's two views": "configs/paco/paco_r32_cifar100-lt.py",
    "SimCLR, two views": "configs/scl/scl_r32_cifar100-lt.py:stage1",
    "SimCLR 64x64, two views": "configs/scl/scl_r18_tiny-imagenet-lt.py:stage1",
    "digits, two views": "configs/paco/paco_r32_digits.py",
}
BATCH_SIZE = 128


class Arrays(BaseDataset):
    """Random images in memory, as CIFAR's are."""

    def load_data_list(self) -> list[dict]:
        """Draw the images."""
        generator = np.random.default_rng(0)
        size = self.metainfo["size"]
        shape = (self.metainfo["num_images"], size, size, 3)
        images = generator.integers(0, 256, shape, dtype=np.uint8)
        return [{"img": image, "gt_label": 0} for image in images]


def train_pipeline(config: str) -> list[dict]:
    """The train pipeline of the first stage of a config.

    Args:
        config (str): Path below the repository root, with variants.
    """
    dataset = read_stages(str(ROOT / config))[0].train_dataloader.dataset
    while "dataset" in dataset:
        dataset = dataset.dataset
    return dataset.pipeline


def clock(device: torch.device) -> float:
    """CPU seconds of this process; of a GPU, seconds until it is done.

    Args:
        device (torch.device): Where the work is.
    """
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def measure(steps: dict[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, float]:
    """Median time of each step, taken in turn.

    Args:
        steps (dict): What is timed, by name.
        rounds (int): How often.
        device (torch.device): Where the work is.
    """
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            start = clock(device)
            step()
            if turn > 0:  # the first one warms up
                times[name].append(clock(device) - start)
    return {name: statistics.median(values) for name, values in times.items()}


def compare(config: str, num_images: int, rounds: int, device: torch.device) -> dict[str, float]:
    """Microseconds an image, all views, of the three ways.

    Args:
        config (str): Whose train pipeline.
        num_images (int): Images in memory.
        rounds (int): How often each is timed.
        device (torch.device): Where batches are augmented.
    """
    size = 64 if "tiny" in config else 32
    dataset = Arrays(metainfo={"size": size, "num_images": num_images}, pipeline=train_pipeline(config))
    form = pipeline_form(dataset.pipeline.transforms)
    pixels = torch.from_numpy(np.stack([dataset.get_data_info(i)["img"] for i in range(num_images)]))
    pixels = pixels.permute(0, 3, 1, 2).contiguous()
    few, order = 256, torch.randperm(num_images)
    labels = torch.zeros(num_images, dtype=torch.int64)
    by_batch, ahead = (ResidentImages(pixels, labels, form.views, augments_ahead=flag) for flag in (False, True))
    epochs = iter(range(10**9))

    def run(source: ResidentImages) -> None:
        epoch = next(epochs)
        for batch in order.split(BATCH_SIZE):
            source.augmented(batch, 0, epoch, device)

    times = measure(
        {
            "per image": lambda: [dataset[i] for i in range(few)],
            "a batch": lambda: run(by_batch),
            "an epoch": lambda: run(ahead),
        },
        rounds,
        device,
    )
    return {name: 1e6 * seconds / (few if name == "per image" else num_images) for name, seconds in times.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="where batches are augmented (default: cpu)")
    parser.add_argument("--images", type=int, default=2048, metavar="N", help="images in memory (default: 2048)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="how often each is timed (default: 5)")
    args = parser.parse_args()
    init_default_scope("mmpretrain")
    device = torch.device(args.device)
    print(f"torch {torch.__version__} on {device} with {torch.get_num_threads()} threads; microseconds an image")
    print(f"{'pipeline':>24}  {'per image':>9}  {'a batch':>8}  {'an epoch':>8}  faster")
    for name, config in CONFIGS.items():
        found = compare(config, args.images, args.rounds, device)
        best = min(found["a batch"], found["an epoch"])
        cells = f"{found['per image']:9.0f}  {found['a batch']:8.1f}  {found['an epoch']:8.1f}"
        print(f"{name:>24}  {cells}  {found['per image'] / best:5.1f}x")


if __name__ == "__main__":
    main()
