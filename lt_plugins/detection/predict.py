"""Prediction of detectors on image files: draws boxes and returns them as plain values."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from mmdet.apis import inference_detector
from mmdet.registry import DATASETS, VISUALIZERS
from mmengine.config import Config
from mmengine.logging import print_log
from numpy.typing import NDArray

from lt_plugins.datasets.folder_scan import SkippedFiles, is_folder, list_folder
from lt_plugins.datasets.image_file import IMAGE_SUFFIXES
from lt_plugins.datasets.text_file import show_path
from lt_plugins.errors import UserInputError


class Predictor:
    """Predictor: runs a detector on image files.

    Args:
        cfg (Config): Its config.
        model (nn.Module): The detector with its weights, in evaluation mode.
        score_threshold (float): Boxes of a lower score are left out.
    """

    def __init__(self, cfg: Config, model: Any, score_threshold: float) -> None:
        self.score_threshold = score_threshold
        metainfo = DATASETS.build({**cfg.test_dataloader.dataset, "lazy_init": True}).metainfo
        self.classes: Sequence[str] = metainfo["classes"]
        self.model = model
        self.model.cfg = cfg  # where mmdet looks for the pipeline
        self.visualizer = VISUALIZERS.build({**cfg.visualizer, "name": "predict", "vis_backends": None})
        self.visualizer.dataset_meta = metainfo

    def __call__(self, path: Path) -> tuple[dict[str, Any], NDArray[np.uint8]]:
        """Detect and draw.

        Args:
            path (Path): An image file that can be decoded.

        Returns:
            tuple[dict, NDArray]: File, width, height and ``detections``, best first, each with ``class``, ``label``,
            ``score`` and ``box`` (left, top, right, bottom in pixels); and the image with boxes, RGB ``(H, W, 3)``.
        """
        image = mmcv.imread(str(path))  # BGR, turned upright as in training
        sample = inference_detector(self.model, image).cpu()
        sample.pred_instances = sample.pred_instances[sample.pred_instances.scores >= self.score_threshold]
        found = sample.pred_instances
        order = found.scores.argsort(descending=True).tolist()
        height, width = image.shape[:2]
        record = {
            "file": str(path),
            "width": width,
            "height": height,
            "detections": [
                {
                    "class": self.classes[int(found.labels[index])],
                    "label": int(found.labels[index]),
                    "score": round(float(found.scores[index]), 4),
                    "box": [round(float(value), 1) for value in found.bboxes[index]],
                }
                for index in order
            ],
        }
        with warnings.catch_warnings():
            # A box may touch the border of its image.
            warnings.filterwarnings("ignore", message="Warning: The (bbox|polygon) is out of bounds")
            self.visualizer.add_datasample(
                "predict", mmcv.bgr2rgb(image), sample, draw_gt=False, pred_score_thr=self.score_threshold
            )
        return record, self.visualizer.get_image()


def find_images(paths: Sequence[str]) -> list[Path]:
    """Find the image files among files and folders; other files in folders are logged.

    Args:
        paths (Sequence[str]): Files, which are taken as they are, and folders, of which all that is named like an image
            is.

    Returns:
        list[Path]: The files, those of a folder by name.

    Raises:
        UserInputError: If one does not exist, or a folder holds no image.
    """
    images: list[Path] = []
    for path in map(Path, paths):
        skipped = SkippedFiles()
        found = [path]
        if path.is_dir():
            entries = list_folder(path)
            found = [Path(entry.path) for entry in entries if entry.name.lower().endswith(IMAGE_SUFFIXES)]
            for entry in entries:
                if not (is_folder(entry) or entry.name.lower().endswith(IMAGE_SUFFIXES)):
                    skipped.add(entry.path)
        if not found or not os.path.lexists(path):
            what = "has no image in it" if path.is_dir() else "does not exist"
            raise UserInputError(
                f"{show_path(path)} {what}; give images ({', '.join(IMAGE_SUFFIXES)}) or folders of them."
            )
        if skipped:
            print_log(f"{show_path(path)}: {skipped.describe(path)}", logger="current", level=logging.WARNING)
        images += found
    return images
