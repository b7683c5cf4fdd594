"""One folder a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.utils import scandir
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from lt_plugins.errors import UserInputError


@DATASETS.register_module()
class FolderDataset(BaseDataset):
    """Reads ``data_root/data_prefix/<class>/**/<image>``; labels follow the sorted folder names.

    mmpretrain's ``CustomDataset`` does so too. This one also reads WebP, takes class names that fix the labels (so that
    a class folder that the test split lacks does not shift all labels after it) and says in one line what is wrong.

    Args:
        data_root (str): Root folder. Defaults to ``''``.
        data_prefix (str): Folder of the split, below the root. Defaults to ``''``.
        extensions (Sequence[str]): Endings of the files that are images, in any case.
        **kwargs: ``classes`` (folder names in label order, or a file with one a line; defaults to the sorted folder
            names), ``pipeline`` and the other arguments of mmpretrain's ``BaseDataset``.

    Raises:
        UserInputError: If the folder is missing, holds no class folders or no images, or a folder that is not in
            ``classes``.
    """

    def __init__(
        self,
        data_root: str = "",
        data_prefix: str = "",
        extensions: Sequence[str] = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".pgm", ".tif", ".tiff"),
        **kwargs: Any,
    ) -> None:
        self.extensions = tuple(extensions)
        super().__init__(ann_file="", data_root=data_root, data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Find the images.

        Returns:
            One ``dict(img_path, gt_label)`` for each image, sorted by label and path.
        """
        root = Path(self.img_prefix)
        if not root.is_dir():
            raise UserInputError(f"folder {root} not found; set data_root to the folder that holds {root.name}/")
        folders = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
        self._metainfo.setdefault("classes", tuple(folders))
        if unknown := sorted(set(folders) - set(self.CLASSES)):
            raise UserInputError(
                f"folder {root / unknown[0]} is not one of the {len(self.CLASSES)} classes; rename or remove it, "
                "or add it to classes"
            )
        samples = [
            {"img_path": str(root / name / path), "gt_label": label}
            for label, name in enumerate(self.CLASSES)
            if name in folders
            for path in sorted(scandir(root / name, self.extensions, recursive=True, case_sensitive=False))
        ]
        if not samples:
            raise UserInputError(
                f"no images in {root}; expected {root}/<class>/<image> ending in one of {', '.join(self.extensions)}"
            )
        return samples
