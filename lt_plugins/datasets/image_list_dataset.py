"""Images of class folders, or of a list or CSV file."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.logging import print_log

from lt_plugins.datasets.class_folders import ClassFolders
from lt_plugins.datasets.image_file import IMAGE_SUFFIXES
from lt_plugins.datasets.image_list import ImageList, compile_replacements
from lt_plugins.datasets.image_scan import scan_images
from lt_plugins.datasets.integrity import max_pixels_of
from lt_plugins.datasets.listed_images import ListedImages
from lt_plugins.datasets.text_file import show_path
from lt_plugins.errors import UserInputError
from lt_plugins.registry import DATASETS

_MAX_SHOWN = 20  # images that are left out, by name


@DATASETS.register_module()
class ImageListDataset(ListedImages):
    r"""Reads the images of class folders or of a list: own data, ImageNet-LT, Places-LT, iNaturalist 2018.

    Without ``ann_file`` the images are ``data_root/data_prefix/<class>/**/<image>``, and labels follow the sorted
    folder names. mmpretrain's ``CustomDataset`` does so too. This one reads more formats, says which files it leaves
    out, takes the labels from the folders of another split or from class names (so that a class folder that the test
    split lacks does not shift all labels after it) and says in one line what is wrong.

    With ``ann_file`` they are ``relative/path label`` lines, as with ``CustomDataset(ann_file=...)``, with every line
    checked and paths that can be rewritten, because the lists of one split circulate for different folder layouts. A
    path must not leave ``data_root/data_prefix`` by ``..`` or by being absolute (links below it may lead anywhere); a
    list of absolute paths needs both to be empty. A file ``*.csv`` has columns
    (:func:`~lt_plugins.datasets.image_table.read_image_table`), and may name the classes.

    Args:
        data_root (str): Root folder. Defaults to ``''``.
        data_prefix (str): Folder of the images, below the root. Defaults to ``''``.
        ann_file (str): List file; each line holds a path without the data prefix, a blank and an integer label.
            Defaults to ``''``: class folders.
        num_classes (int | None): Of a list, which must have it: number of classes ``C``; labels run from 0 to ``C-1``.
            Classes may be absent.
        path_replace (Mapping[str, str] | None): Of a list: regular expressions and what replaces them in each path, in
            order. Defaults to None.
        split (str | None): Of a CSV file with a column ``split``: which of its images to read. Defaults to all.
        extensions (Sequence[str] | None): Of class folders: endings of the files that are images, in any case. Defaults
            to those of the formats that can be read.
        class_folder (str | None): Of class folders: folder below the root whose sub-folders are the classes, for the
            splits beside the training set: ``'train'``. Defaults to the split's own folder, which also serves where it
            is missing.
        skip_unreadable (bool): Whether images that cannot be used, missing, broken or too large, are left out, counted
            and named; for this all files are read once (:func:`~lt_plugins.datasets.image_scan.scan_images`). Defaults
            to False: the first one stops the training.
        **kwargs: ``classes`` (names in label order, or a file with one a line; with class folders their names, instead
            of ``class_folder``), ``pipeline`` and the other arguments of mmpretrain's ``BaseDataset``.

    Raises:
        UserInputError: If an argument is of the other source or ``classes`` is neither. Of class folders: if one is
            missing, there are no class folders or no images, or a folder is not one of the classes. Of a list: if it is
            missing, empty or no UTF-8 text, a line is malformed, a path leaves the data root, a label is out of range,
            or ``classes`` names another number of classes.

    Examples:
        >>> dict(type='ImageListDataset', data_root='data/birds', data_prefix='val', class_folder='train')
        >>> dict(type='ImageListDataset', data_root='data/places', ann_file='Places_LT_train.txt', num_classes=365,
        ...      path_replace={r'^train/(.)': r'data_256/\1/\1'}, pipeline=train_pipeline)
    """

    def __init__(
        self,
        data_root: str = "",
        data_prefix: str = "",
        ann_file: str = "",
        num_classes: int | None = None,
        path_replace: Mapping[str, str] | None = None,
        split: str | None = None,
        extensions: Sequence[str] | None = None,
        class_folder: str | None = None,
        skip_unreadable: bool = False,
        **kwargs: Any,
    ) -> None:
        of_lists = {"num_classes": num_classes, "path_replace": path_replace, "split": split}
        of_folders = {"extensions": extensions, "class_folder": class_folder}
        for name, value in (of_folders if ann_file else of_lists).items():
            if value is not None:
                raise UserInputError(
                    f"{name}={value!r} of ImageListDataset is for class folders, not for a list; remove it, or ann_file"
                    if ann_file
                    else f"{name}={value!r} of ImageListDataset is for a list, not for class folders; remove it, or "
                    "give ann_file"
                )
        if ann_file and (type(num_classes) is not int or num_classes < 1):
            raise UserInputError(f"num_classes={num_classes!r} of ImageListDataset must be a positive integer")
        self.num_classes = num_classes
        self.path_replace = compile_replacements(path_replace or {})
        self.split = split
        extensions = IMAGE_SUFFIXES if extensions is None else extensions
        self.extensions = (extensions,) if isinstance(extensions, str) else tuple(extensions)
        self.class_folder = class_folder
        self.skip_unreadable = skip_unreadable
        super().__init__(ann_file=ann_file, data_root=data_root, data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Find or read the images, and check them.

        Returns:
            One ``dict(img_path, gt_label)`` for each image: of class folders sorted by label and path, of a list in its
            order.
        """
        source: ImageList | ClassFolders
        if self.num_classes is not None:
            source = ImageList(self.ann_file, self.img_prefix, self.num_classes, self.path_replace, self.split)
        else:
            source = ClassFolders(self.data_root, self.img_prefix, self.extensions, self.class_folder)
        samples, classes = source.read(self.CLASSES)
        if classes is not None:
            self._metainfo["classes"] = classes
        return self._readable(samples) if self.skip_unreadable else samples

    def _readable(self, samples: list[dict]) -> list[dict]:
        """Leave out the images that cannot be used, and log which."""
        scanned = scan_images([sample["img_path"] for sample in samples], max_pixels_of(self))
        problems = [image.fingerprint.problem for image in scanned]
        bad = [
            f"{show_path(os.path.relpath(sample['img_path'], self.img_prefix or '.'))} ({problem})"
            for sample, problem in zip(samples, problems, strict=True)
            if problem
        ]
        place = show_path((self.ann_file or self.img_prefix).rstrip("/"))
        if len(bad) == len(samples):
            raise UserInputError(f"{place}: none of its {len(samples):,} images can be read, like {bad[0]}.")
        if bad:
            shown = ", ".join(bad[:_MAX_SHOWN]) + (", ..." if len(bad) > _MAX_SHOWN else "")
            line = f"{place}: {len(bad):,} of {len(samples):,} images cannot be read and are left out: {shown}"
            print_log(line, logger="current", level=logging.WARNING)
        return [sample for sample, problem in zip(samples, problems, strict=True) if not problem]
