"""One folder a class."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from mmengine.logging import print_log

from lt_plugins.datasets.folder_scan import SkippedFiles, is_folder, list_folder, scan_images
from lt_plugins.datasets.text_file import show_path
from lt_plugins.errors import UserInputError
from lt_plugins.terminal import displayable


class ClassFolders(NamedTuple):
    """Folders of images, one a class: ``folder/<class>/**/<image>``.

    Args:
        data_root (str): Folder that ``class_folder`` lies in.
        folder (str): Folder of the split.
        extensions (tuple[str, ...]): Endings of the files that are images, in any case.
        class_folder (str | None): Folder below the root whose sub-folders are the classes; None for the split's own,
            which also serves where it is missing.
    """

    data_root: str
    folder: str
    extensions: tuple[str, ...]
    class_folder: str | None

    def read(self, classes: tuple[str, ...] | None) -> tuple[list[dict], tuple[str, ...]]:
        """Find the images, and log once which files were left out.

        Args:
            classes (tuple[str, ...] | None): Names of the class folders in the order of their labels; None for the
                sorted ones.

        Returns:
            tuple: One ``dict(img_path, gt_label)`` for each image, sorted by label and path, and the classes.

        Raises:
            UserInputError: If a folder is missing, holds no images, or a folder that is not one of the classes.
        """
        root, skipped = Path(self.folder), SkippedFiles()
        folders = self._class_folders(root, skipped)
        classes = tuple(self._class_names(folders)) if classes is None else classes
        self._check_classes(root, folders, classes)
        samples = [
            {"img_path": f"{root / folders[name]}/{path}", "gt_label": label}
            for label, name in enumerate(classes)
            if name in folders
            for path in scan_images(root / folders[name], self.extensions, skipped)
        ]
        shown = show_path(root)
        left_out = skipped.describe(root) if skipped else ""
        if not samples:
            raise UserInputError(
                f"no images in {shown}; expected {shown}/<class>/<image> ending in one of {', '.join(self.extensions)}"
                + (f" ({left_out})" if left_out else "")
            )
        if left_out:
            print_log(f"{shown}: {left_out}", logger="current", level=logging.WARNING)
        return samples, classes

    def _class_names(self, folders: dict[str, str]) -> Iterable[str]:
        if self.class_folder is None:
            return folders
        root = Path(self.data_root, self.class_folder)
        if root.is_dir():
            return self._class_folders(root)
        # Testing needs no training data; names that are not those of the checkpoint are refused elsewhere.
        print_log(
            f"{show_path(root)} is not here, so the classes are the folders of {show_path(self.folder)}",
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

    def _check_classes(self, root: Path, folders: dict[str, str], classes: tuple[str, ...]) -> None:
        if len(set(classes)) < len(classes):
            twice = next(name for name in classes if classes.count(name) > 1)
            raise UserInputError(f"classes names {twice!r} twice, so its images would have two labels; name it once")
        if unknown := sorted(folders.keys() - set(classes)):
            given = "classes" if self.class_folder is None else f"{self.class_folder}/ or classes"
            raise UserInputError(
                f"folder {show_path(root / folders[unknown[0]])} is not one of the {len(classes)} classes; "
                f"rename or remove it, or add it to {given}"
            )
