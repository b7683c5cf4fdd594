"""Benchmark of prediction: CPU time an image beside a bare loop, and peak memory by number of images.

The bare loop decodes with OpenCV, resizes, normalises, runs the network and writes a row; both take the same images in
turns, in one process, and must name the same classes.

    OMP_NUM_THREADS=1 python -m benchmarks.prediction
"""

from __future__ import annotations

import argparse
import csv
import io
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config

import lt_plugins.plugins  # noqa: F401 (registers)
from lt_plugins.analysis.trained_model import TrainedModel
from lt_plugins.models.build import build_model
from lt_plugins.prediction.classifier import ImageClassifier
from lt_plugins.prediction.image_reader import read_batches
from lt_plugins.prediction.prediction_file import RowFormat
from lt_plugins.runs.config import load_config

BATCH_SIZE = 32
BAR = 1.1
MEMORY_BAR_MB = 50
ROOT = Path(__file__).resolve().parents[1]


def small_images() -> Config:
    """ResNet-32 on images of 32 x 32."""
    return load_config(str(ROOT / "configs/ce/ce_r32_digits.py"))


def photographs() -> Config:
    """ResNet-50 on photographs, resized and cropped to 224 x 224."""
    return load_config(str(ROOT / "configs/ce/ce_r50_imagenet-lt.py"))


CASES = {
    "ResNet-32, PNG of 32 x 32": (small_images, (32, 32), ".png"),
    "ResNet-50, JPEG of 500 x 375": (photographs, (375, 500), ".jpg"),
}


def bare(classifier: ImageClassifier, paths: Sequence[str], is_photo: bool) -> bytes:
    """Predict by a loop without anything of this package but the network."""
    model: Any = classifier.model
    mean, std = (getattr(model.data_preprocessor, name).reshape(3, 1, 1) for name in ("mean", "std"))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    iterator = iter(paths)
    while batch := list(islice(iterator, BATCH_SIZE)):
        images = []
        for path in batch:
            pixels: Any = cv2.imread(path, cv2.IMREAD_COLOR)
            if is_photo:
                height, width = pixels.shape[:2]
                scale = 256 / min(height, width)
                pixels = cv2.resize(pixels, (int(width * scale + 0.5), int(height * scale + 0.5)))
                top, left = (round((side - 224) / 2) for side in pixels.shape[:2])
                pixels = pixels[top : top + 224, left : left + 224]
            images.append(torch.from_numpy(np.ascontiguousarray(pixels[..., ::-1].transpose(2, 0, 1))))
        with torch.inference_mode():
            inputs = (torch.stack(images).float() - mean) / std
            confidence, label = model.head(model.extract_feat(inputs)).softmax(dim=1).max(dim=1)
        writer.writerows(
            (path, classifier.class_name(c), f"{p:.6f}", "")
            for path, c, p in zip(batch, label.tolist(), confidence.tolist(), strict=True)
        )
    return text.getvalue().encode()


def ours(classifier: ImageClassifier, paths: Sequence[str]) -> bytes:
    """Predict as ``tools/predict.py`` does, by this process alone."""
    rows = RowFormat(Path("p.csv"), 1, is_calibrated=False)
    batches = read_batches(paths, classifier.pipeline, BATCH_SIZE, 0)
    return b"".join(rows.encode(classifier.predict_batch(batch, 1)) for batch in batches)


def write_images(folder: Path, count: int, size: tuple[int, int], suffix: str) -> list[str]:
    """Write smooth random images."""
    generator = np.random.default_rng(0)
    paths = [str(folder / f"{number:04d}{suffix}") for number in range(count)]
    for path in paths:
        coarse = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        cv2.imwrite(path, cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC))
    return paths


def repeated(path: str, count: int) -> Iterator[str]:
    """A path many times."""
    for _ in range(count):
        yield path


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    parser.add_argument("--images", type=int, nargs=2, default=[512, 64], help="small images, photographs (512 64)")
    args = parser.parse_args()
    print(f"torch {torch.__version__} with {torch.get_num_threads()} threads; batches of {BATCH_SIZE}, no workers")
    print(f"{'':>30}  images/s  bare loop  CPU time / bare (least-largest)")
    passed = []
    for (name, (make, size, suffix)), count in zip(CASES.items(), args.images, strict=True):
        cfg = make()
        torch.manual_seed(0)
        classifier = ImageClassifier(cfg, TrainedModel(build_model(cfg).eval(), Path("random.pth"), None))
        with tempfile.TemporaryDirectory() as folder:
            paths = write_images(Path(folder), count, size, suffix)
            times: list[tuple[float, float]] = []
            for _ in range(args.rounds):
                pair, found = [], []
                for run in (partial(ours, classifier, paths), partial(bare, classifier, paths, suffix == ".jpg")):
                    start = time.process_time()
                    found.append(run())
                    pair.append(time.process_time() - start)
                rows = [[row[:2] for row in csv.reader(io.StringIO(text.decode()))] for text in found]
                assert rows[0] == rows[1], "the same classes"
                times.append((pair[0], pair[1]))
        ratios = sorted(one / other for one, other in times)
        best = [count / min(column) for column in zip(*times, strict=True)]
        ratio = ratios[len(ratios) // 2]
        print(f"{name:>30}  {best[0]:8.1f}  {best[1]:9.1f}  {ratio:.3f} ({ratios[0]:.3f}-{ratios[-1]:.3f})", flush=True)
        passed.append((f"{name}: {ratio:.2f} of the CPU time of the bare loop, bar {BAR}", ratio <= BAR))
    with tempfile.TemporaryDirectory() as folder:
        [path] = write_images(Path(folder), 1, (32, 32), ".png")
        cfg = small_images()
        classifier = ImageClassifier(cfg, TrainedModel(build_model(cfg).eval(), Path("random.pth"), None))
        peaks = []
        for count in (500, 5000):
            for batch in read_batches(repeated(path, count), classifier.pipeline, BATCH_SIZE, 2):
                classifier.predict_batch(batch, 1)
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        print(f"peak memory after 500 images {peaks[0]:.0f} MB, after 5,000 {peaks[1]:.0f} MB")
        passed.append(
            (f"{peaks[1] - peaks[0]:.0f} MB more, bar {MEMORY_BAR_MB} MB", peaks[1] - peaks[0] <= MEMORY_BAR_MB)
        )
    for line, holds in passed:
        print(f"{'PASS' if holds else 'MISS'}  {line}")


if __name__ == "__main__":
    main()
