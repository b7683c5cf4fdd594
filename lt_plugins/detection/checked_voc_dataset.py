"""PASCAL VOC dataset whose annotations are checked before training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdet.datasets import VOCDataset
from mmdet.registry import DATASETS

from lt_plugins.datasets.image_file import DEFAULT_MAX_PIXELS, check_max_pixels
from lt_plugins.datasets.image_list import leaves_folder
from lt_plugins.datasets.text_file import excerpt, read_lines, show_path
from lt_plugins.detection.voc_annotations import find_voc_problem
from lt_plugins.errors import UserInputError


@DATASETS.register_module()
class CheckedVOCDataset(VOCDataset):
    """mmdet's ``VOCDataset`` that refuses annotations which would be skipped silently or fail during a run.

    Args:
        keep_difficult (bool): Whether training learns from objects that are marked as difficult, as in detectron2 and
            hence in the protocol of MoCo; mmdet ignores them. Evaluation ignores them always. Defaults to False.
        max_pixels (int): Largest width times height of an image, looked up in its header. Defaults to 134,217,728.
        **kwargs: As for mmdet's ``VOCDataset``: ``data_root``, ``ann_file``, ``data_prefix``, ``pipeline``, ...

    Config::

        dataset=dict(type='CheckedVOCDataset', data_root='data/VOCdevkit/', keep_difficult=True,
                     ann_file='VOC2007/ImageSets/Main/trainval.txt', data_prefix=dict(sub_data_root='VOC2007/'))

    Raises:
        UserInputError: If the list of images is missing, empty or no UTF-8 text, an image or annotation is missing or
            unreadable, a field of it is no number, an object has an unknown class, an empty box or one beyond its
            image; says which is the first and how many files are affected.
    """

    def __init__(self, keep_difficult: bool = False, max_pixels: int = DEFAULT_MAX_PIXELS, **kwargs: Any) -> None:
        classes = (kwargs.get("metainfo") or {}).get("classes", ())
        if isinstance(classes, str):
            raise UserInputError(
                f"metainfo classes={classes[:60]!r} is one text; give a list of names, [{classes[:60]!r}]"
            )
        self.keep_difficult = keep_difficult
        self.max_pixels = check_max_pixels(max_pixels)
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        """Check all images of the list, then read them.

        Returns:
            list[dict]: What mmdet's datasets hold of each image.
        """
        folder, shown = Path(self.sub_data_root), show_path(self.ann_file)
        hint = "unpack PASCAL VOC there (docs/detection.md), or set data_root of the datasets to the folder of VOC2007"
        lines = read_lines(self.ann_file, "image list", hint)
        names = [line.strip() for line in lines if line.strip()]
        if not names:
            raise UserInputError(f"{shown} names no image; each line of it is the name of one.")
        if outside := [name for name in names if leaves_folder(str(folder / self.ann_subdir), name)]:
            raise UserInputError(
                f"{shown}: {excerpt(outside[0])} leaves the folder {show_path(folder)}; give names only."
            )
        known = {*self.METAINFO["classes"], *self.metainfo["classes"]}
        problems = [
            problem
            for name in names
            if (
                problem := find_voc_problem(
                    folder / self.img_subdir / f"{name}.jpg",
                    folder / self.ann_subdir / f"{name}.xml",
                    known,
                    self.max_pixels,
                )
            )
        ]
        if problems:
            raise UserInputError(
                f"{problems[0]}; {len(problems)} of the {len(names)} images of {shown} are unfit: fix them, or "
                "take them out of the list."
            )
        # As XMLDataset does, with the names that were checked: it would keep a byte order mark and blanks.
        self.cat2label = {name: label for label, name in enumerate(self.metainfo["classes"])}
        return [
            self.parse_data_info(
                {
                    "img_id": name,
                    "file_name": f"{self.img_subdir}/{name}.jpg",
                    "xml_path": str(folder / self.ann_subdir / f"{name}.xml"),
                }
            )
            for name in names
        ]

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
