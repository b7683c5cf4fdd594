"""Benchmark of the feature pass: peak memory by size of the dataset.

Passes a small and a large set of images through the encoder of ``configs/lpa/lpa_r32_cifar100-lt.py`` as
``ReclusterHook`` does (local features, attribute scores, table of classes), each in a process of its own, and compares
the peak resident memory.

    python benchmarks/feature_pass.py
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.utils.data import Dataset

from lt_plugins.clustering import ClassAttributeTable
from lt_plugins.engine.features import stream_features

ROOT = Path(__file__).resolve().parents[1]
NUM_CLASSES = 100
MEMORY_BAR_MB = 300


class GeneratedImages(Dataset):
    """Random 32x32 images, drawn when asked for, so that the dataset itself takes no memory.

    Args:
        size (int): Number of images.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(index)
        image = torch.randint(256, (3, 32, 32), dtype=torch.uint8, generator=generator)
        return {"inputs": image, "data_samples": DataSample().set_gt_label(index % NUM_CLASSES)}


def run_pass(num_images: int, batch_size: int) -> None:
    """Describe the classes by all local features once and print images, seconds and peak memory.

    Args:
        num_images (int): Size of the dataset.
        batch_size (int): Images a batch.
    """
    torch.manual_seed(0)
    cfg = Config.fromfile(ROOT / "configs/lpa/lpa_r32_cifar100-lt.py")
    model = MODELS.build({**cfg.model, "data_preprocessor": cfg.data_preprocessor}).eval()
    model.head.prototypes.copy_(F.normalize(torch.rand_like(model.head.prototypes), dim=1))
    table = ClassAttributeTable(NUM_CLASSES, model.head.num_attributes)

    def extract(batch: dict[str, Any]) -> Tensor:
        data = model.data_preprocessor(batch, training=False)
        return model.head.attribute_scores(model.extract_local_features(data["inputs"])).mean(dim=1)

    begin = time.perf_counter()
    for positions, scores in stream_features(extract, GeneratedImages(num_images), batch_size=batch_size):
        table.update(scores, positions % NUM_CLASSES)
    seconds = time.perf_counter() - begin
    assert int(table.counts.sum()) == num_images
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024)
    print(num_images, seconds, peak)


def main() -> int:
    """Compare the two sizes.

    Returns:
        int: 0 if the difference is within the bar.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs=2, default=[5_000, 50_000], metavar=("SMALL", "LARGE"))
    parser.add_argument("--batch-size", type=int, default=256, help="as the hook's default")
    parser.add_argument("--single", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.single:
        run_pass(args.single, args.batch_size)
        return 0
    peaks = []
    print(f"{'images':>8} {'seconds':>8} {'images/s':>9} {'peak memory':>12}")
    for size in args.sizes:
        command = [sys.executable, __file__, "--single", str(size), "--batch-size", str(args.batch_size)]
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        seconds, peak = map(float, out[-2:])
        peaks.append(peak)
        print(f"{size:>8} {seconds:>8.1f} {size / seconds:>9.0f} {peak:>9.0f} MB")
    difference = peaks[1] - peaks[0]
    print(
        f"difference {difference:.0f} MB, bar {MEMORY_BAR_MB} MB: {'ok' if difference <= MEMORY_BAR_MB else 'MISSED'}"
    )
    return int(difference > MEMORY_BAR_MB)


if __name__ == "__main__":
    raise SystemExit(main())
