"""PASCAL VOC whose annotations are looked through before training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdet.datasets import VOCDataset
from mmdet.registry import DATASETS

from lt_plugins.detection.voc_annotations import find_voc_problem
from lt_plugins.errors import UserInputError


@DATASETS.register_module()
class CheckedVOCDataset(VOCDataset):
    """mmdet's ``VOCDataset``, which refuses annotations that would be skipped silently or fail in the middle of a run.

    Args:
        keep_difficult (bool): Whether training learns from objects that are marked as difficult, as in detectron2 and
            hence in the protocol of MoCo; mmdet ignores them. Evaluation ignores them always. Defaults to False.
        **kwargs: As for mmdet's ``VOCDataset``: ``data_root``, ``ann_file``, ``data_prefix``, ``pipeline``, ...

    Config::

        dataset=dict(type='CheckedVOCDataset', data_root='data/VOCdevkit/', keep_difficult=True,
                     ann_file='VOC2007/ImageSets/Main/trainval.txt', data_prefix=dict(sub_data_root='VOC2007/'))

    Raises:
        UserInputError: If the list of images is missing or empty, an image or annotation is missing, an object has an
            unknown class or an empty box; says which is the first and how many files are affected.
    """

    def __init__(self, keep_difficult: bool = False, **kwargs: Any) -> None:
        self.keep_difficult = keep_difficult
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        """Check all images of the list, then read them.

        Returns:
            list[dict]: What mmdet's data sets hold of each image.
        """
        folder, image_list = Path(self.sub_data_root), Path(self.ann_file)
        if not image_list.is_file():
            raise UserInputError(
                f"{image_list} does not exist; unpack PASCAL VOC there (docs/detection.md), or set data_root of the "
                "data sets to the folder that holds VOC2007."
            )
        names = [line.strip() for line in image_list.read_text(encoding="utf-8").splitlines() if line.strip()]
        if not names:
            raise UserInputError(f"{image_list} names no image; each line of it is the name of one.")
        known = {*self.METAINFO["classes"], *self.metainfo["classes"]}
        problems = [
            problem
            for name in names
            if (
                problem := find_voc_problem(
                    folder / self.img_subdir / f"{name}.jpg", folder / self.ann_subdir / f"{name}.xml", known
                )
            )
        ]
        if problems:
            raise UserInputError(
                f"{problems[0]}; {len(problems)} of the {len(names)} images of {image_list} are unfit: mend them, or "
                "take them out of the list."
            )
        return super().load_data_list()

    def parse_data_info(self, img_info: dict) -> dict:
        """Read one annotation.

        Args:
            img_info (dict): Names of the image and its files.

        Returns:
            dict: Image and objects.
        """
        data_info = super().parse_data_info(img_info)
        if self.keep_difficult and not self.test_mode:
            for instance in data_info["instances"]:
                instance["ignore_flag"] = 0
        return data_info
