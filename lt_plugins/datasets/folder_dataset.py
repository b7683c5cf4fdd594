"""One folder a class."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from lt_plugins.datasets.folder_scan import SkippedFiles, is_folder, list_folder, scan_images
from lt_plugins.datasets.image_file import IMAGE_SUFFIXES
from lt_plugins.datasets.labelled_dataset import LabelledDataset
from lt_plugins.datasets.text_file import show_path
from lt_plugins.errors import UserInputError
from lt_plugins.registry import DATASETS
from lt_plugins.terminal import displayable


@DATASETS.register_module()
class FolderDataset(LabelledDataset):
    """Reads ``data_root/data_prefix/<class>/**/<image>``; labels follow the sorted folder names.

    mmpretrain's ``CustomDataset`` does so too. This one reads more formats, says which files it leaves out, takes the
    labels from the folders of another split or from class names (so that a class folder that the test split lacks does
    not shift all labels after it) and says in one line what is wrong.

    Args:
        data_root (str): Root folder. Defaults to ``''``.
        data_prefix (str): Folder of the split, below the root. Defaults to ``''``.
        extensions (Sequence[str]): Endings of the files that are images, in any case.
        class_folder (str | None): Folder below the root whose sub-folders are the classes, for the splits beside the
            training set: ``'train'``. Defaults to the split's own folder, which also serves where it is missing.
        **kwargs: ``classes`` (folder names in label order, or a file with one a line; instead of ``class_folder``),
            ``pipeline`` and the other arguments of mmpretrain's ``BaseDataset``.

    Raises:
        UserInputError: If a folder is missing, holds no class folders or no images, or a folder that is not one of the
            classes.
    """

    def __init__(
        self,
        data_root: str = "",
        data_prefix: str = "",
        extensions: Sequence[str] = IMAGE_SUFFIXES,
        class_folder: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.extensions = (extensions,) if isinstance(extensions, str) else tuple(extensions)
        self.class_folder = class_folder
        self.skipped = SkippedFiles()
        super().__init__(ann_file="", data_root=data_root, data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Find the images, and log once what was left out.

        Returns:
            One ``dict(img_path, gt_label)`` for each image, sorted by label and path.
        """
        root = Path(self.img_prefix)
        folders = self._class_folders(root, self.skipped)
        if self.CLASSES is None:
            self._metainfo["classes"] = tuple(self._class_names(folders))
        self._check_classes(root, folders)
        samples = [
            {"img_path": f"{root / folders[name]}/{path}", "gt_label": label}
            for label, name in enumerate(self.CLASSES)
            if name in folders
            for path in scan_images(root / folders[name], self.extensions, self.skipped)
        ]
        shown = show_path(root)
        left_out = self.skipped.describe(root) if self.skipped else ""
        if not samples:
            raise UserInputError(
                f"no images in {shown}; expected {shown}/<class>/<image> ending in one of {', '.join(self.extensions)}"
                + (f" ({left_out})" if left_out else "")
            )
        if left_out:
            print_log(f"{shown}: {left_out}", logger="current", level=logging.WARNING)
        return samples

    def _class_names(self, folders: dict[str, str]) -> Iterable[str]:
        if self.class_folder is None:
            return folders
        root = Path(self.data_root, self.class_folder)
        if root.is_dir():
            return self._class_folders(root)
        # Testing needs no training data; names that are not those of the checkpoint are refused elsewhere.
        print_log(
            f"{show_path(root)} is not here, so the classes are the folders of {show_path(self.img_prefix)}",
            logger="current",
            level=logging.WARNING,
        )
        return folders

    def _class_folders(self, root: Path, skipped: SkippedFiles | None = None) -> dict[str, str]:
        """Sorted folders by the name of their class, which is valid Unicode where that of the folder is not."""
        if not root.is_dir():
            raise UserInputError(
                f"folder {show_path(root)} not found; set data_root to the folder that holds {displayable(root.name)}/"
            )
        folders = {}
        for entry in list_folder(root):
            if is_folder(entry):
                folders[displayable(entry.name)] = entry.name
            elif skipped is not None:
                skipped.add(entry.path)
        return folders

    def _check_classes(self, root: Path, folders: dict[str, str]) -> None:
        classes = self.CLASSES
        if len(set(classes)) < len(classes):
            twice = next(name for name in classes if classes.count(name) > 1)
            raise UserInputError(f"classes names {twice!r} twice, so its images would have two labels; name it once")
        if unknown := sorted(folders.keys() - set(classes)):
            given = "classes" if self.class_folder is None else f"{self.class_folder}/ or classes"
            raise UserInputError(
                f"folder {show_path(root / folders[unknown[0]])} is not one of the {len(classes)} classes; "
                f"rename or remove it, or add it to {given}"
            )
