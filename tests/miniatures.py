"""Miniatures of the datasets that are too large for tests: the exact layout, a few dozen tiny images.

    cfg = miniature_cfg('configs/lpa/paco_r50_inat.py', tmp_path)

returns the config with every dataset in it pointed at a miniature below ``tmp_path``, which is written on the way,
with small batches at the same learning rate, no workers, and classes without images allowed. Everything else (model,
number of classes, pipelines, schedule, hooks) is the config's own. The CIFAR pickles carry the original names and keys
but not the original checksums, so their type becomes ``MiniatureCIFAR10`` or ``MiniatureCIFAR100``, which this module
registers (in a subprocess ``cfg.custom_imports`` does so if the repository root is on its path).

``make_miniature('data/places', tmp_path / 'places')`` writes a single one.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmpretrain.datasets import CIFAR10, CIFAR100
from mmpretrain.registry import DATASETS
from PIL import Image

from lt_plugins.datasets.glt.glt_file import SPLITS, GLTFile, GLTImage, write_glt
from lt_plugins.runs.config import read_stages

NUM_TRAIN, NUM_TEST = 24, 8


def _without_checksums(files: list[list[str]]) -> list[list[str | None]]:
    return [[name, None] for name, _ in files]


@DATASETS.register_module(force=True)
class MiniatureCIFAR10(CIFAR10):
    """CIFAR-10 whose files may hold other images than the original ones."""

    train_list = _without_checksums(CIFAR10.train_list)
    test_list = _without_checksums(CIFAR10.test_list)


@DATASETS.register_module(force=True)
class MiniatureCIFAR100(CIFAR100):
    """CIFAR-100 whose files may hold other images than the original ones."""

    train_list = _without_checksums(CIFAR100.train_list)
    test_list = _without_checksums(CIFAR100.test_list)


def miniature_cfg(spec: str | Path, root: Path, stage: int = -1) -> Config:
    """Read a stage of a config and point its datasets at miniatures.

    Args:
        spec: Config file, with its variants.
        root: Where the miniatures are written; those already there are used again.
        stage: Which of its stages, from 0. Defaults to the last one.

    Returns:
        The config, ready for ``Runner.from_cfg`` apart from ``work_dir`` and the length of training.
    """
    cfg = read_stages(str(spec))[stage]
    point_at_miniatures(cfg, root)
    return cfg


def point_at_miniatures(cfg: Config, root: Path) -> None:
    """Change a config as :func:`miniature_cfg` does.

    Args:
        cfg: The config of a stage.
        root: Where the miniatures are written.
    """
    for dataset in config_nodes(list(cfg.values())):
        if dataset.get("type") == "LongTailDataset":
            dataset.update(imbalance_factor=2, max_count=2)
            if dataset.get("meta_per_class"):
                dataset.update(imbalance_factor=1, max_count=1, meta_per_class=1)
            if dataset.dataset.get("ann_file"):  # a balanced meta set, of a list that has few of the classes
                dataset.type = "IndexedDataset"
                del dataset["imbalance_factor"], dataset["max_count"]
        if dataset.get("type") == "OwnImages":
            dataset.update(type="ImageListDataset", data_root="data/photos")
        if dataset.get("data_root"):
            folder = root / Path(dataset.data_root).name
            make_miniature(dataset.data_root, folder)
            dataset.data_root = str(folder)
        if dataset.get("type") == "ClassSubset":  # no class has many images here
            dataset.update(keep=list(range(cfg.model.head.num_classes)))
        if dataset.get("type") in ("CIFAR10", "CIFAR100"):
            dataset.update(type=f"Miniature{dataset.type}", download=False)
    for name, batch_size in (("train_dataloader", 4), ("val_dataloader", 8), ("test_dataloader", 8)):
        if cfg.get(name):
            cfg[name].update(batch_size=batch_size, num_workers=0, persistent_workers=False)
    if "preflight" in cfg.get("default_hooks", {}):
        cfg.default_hooks.preflight.allow_empty_classes = True
    if cfg.get("auto_scale_lr"):
        cfg.auto_scale_lr.enable = False  # keep the learning rate at the small batch
    if cfg.get("custom_imports"):
        cfg.custom_imports.imports = [*cfg.custom_imports.imports, "tests.miniatures"]


def make_miniature(data_root: str, folder: Path) -> None:
    """Write the miniature of a dataset.

    Args:
        data_root: As in the configs; the last part says which dataset.
        folder: Stands in for it. A folder that exists is taken as complete.
    """
    if not folder.exists():
        folder.mkdir(parents=True)
        MAKERS[Path(data_root).name](folder)


def write_image(path: Path, seed: int, size: tuple[int, int] = (48, 40), mode: str = "RGB") -> None:
    """Write a small random image in the format that the file name says.

    Args:
        path: File to write; its folders are made.
        seed: Decides the pixels.
        size: Width and height.
        mode: ``'RGB'`` or ``'L'`` (grayscale).
    """
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)).save(path)


def config_nodes(node: Any) -> Iterator[Any]:
    """All dicts within a config, outer ones first."""
    if isinstance(node, dict):
        yield node
        for value in list(node.values()):
            yield from config_nodes(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from config_nodes(value)


def _labels(num_classes: int, count: int) -> list[int]:
    """Labels that reach both ends; more than one image in class 0."""
    return [0, *np.linspace(0, num_classes - 1, count - 1).astype(int).tolist()]


def _write_list(folder: Path, name: str, entries: Iterable[tuple[str, int]]) -> None:
    lines: list[str] = []
    for path, label in entries:
        if not (folder / path).exists():
            write_image(folder / path, seed=len(lines) + 1000 * len(name))
        lines.append(f"{path} {label}\n")
    (folder / name).write_text("".join(lines))


def _imagenet(folder: Path) -> None:
    """`train/<wnid>/<wnid>_<id>.JPEG label`; the val list also lies in `train/`."""
    for name, count, template in (
        ("train", NUM_TRAIN, "train/n{0:08d}/n{0:08d}_{1}.JPEG"),
        ("val", NUM_TEST, "train/n{0:08d}/n{0:08d}_9{1}.JPEG"),
        ("test", NUM_TEST, "val/n{0:08d}/ILSVRC2012_val_{1:08d}.JPEG"),
    ):
        entries = [(template.format(1440764 + y, i), y) for i, y in enumerate(_labels(1000, count))]
        _write_list(folder, f"ImageNet_LT_{name}.txt", entries)
    splits = _glt_splits(1000, lambda split, y, i: f"train/n{1440764 + y:08d}/{split}_{i}.JPEG")
    _write_glt_images(folder, splits)
    for kind, name in (("glt", "lt"), ("cbl", "bl")):
        content = _released_glt(1000, splits, kind, "/data4/imagenet/ILSVRC/Data/CLS-LOC")
        (folder / f"imagenet_sup_intra_lt_inter_{name}.json").write_text(json.dumps(content))


def _mscoco_glt(folder: Path) -> None:
    """`{coco_glt,coco_cbl}/{annotation.json,images}`, whose tables are by a key of each crop."""
    splits = _glt_splits(29, lambda split, y, i: f"images/{split}{y}_{i}.jpg")
    for kind in ("glt", "cbl"):
        content = _released_glt(29, splits, kind, f"/data4/coco_glt/coco_{kind}")
        for phase in set(content) - {"cat2id", "id2cat"}:
            columns, keys = content[phase], {path: str(700 + i) for i, path in enumerate(content[phase]["label"])}
            content[phase] = {name: {keys[path]: v for path, v in column.items()} for name, column in columns.items()}
            content[phase]["path"] = {key: path for path, key in keys.items()}
        _write_glt_images(folder / f"coco_{kind}", splits)
        (folder / f"coco_{kind}" / "annotation.json").write_text(json.dumps(content))


def _glt_splits(num_classes: int, name: Callable[[str, int, int], str]) -> dict[str, list[GLTImage]]:
    """Images of each split of a GLT benchmark, called by split, label and number."""
    return {
        split: [
            GLTImage(name(split, y, i), y, i % 3)
            for i, y in enumerate(_labels(num_classes, NUM_TRAIN if "train" in split else NUM_TEST))
        ]
        for split in SPLITS
    }


def _write_glt_images(folder: Path, splits: dict[str, list[GLTImage]], size: tuple[int, int] = (48, 40)) -> None:
    for seed, image in enumerate(image for images in splits.values() for image in images):
        write_image(folder / image.path, seed, size)


def _released_glt(num_classes: int, splits: dict[str, list[GLTImage]], kind: str, prefix: str) -> dict[str, Any]:
    """What the authors' tool writes: tables by absolute paths for each phase, labels as strings."""
    phases = {"train": f"train-{kind}", "val": f"val-{kind}", "test_bl": "test-cbl", "test_bbl": "test-gbl"}
    images = {phase: splits[split] for phase, split in phases.items()}
    images["test_lt"] = splits["test-lt"] if kind == "glt" else []
    names = [f"n{1440764 + y:08d}" for y in range(num_classes)]
    content: dict[str, Any] = {
        "cat2id": {name: str(y) for y, name in enumerate(names)},
        "id2cat": {str(y): name for y, name in enumerate(names)},
    }
    for phase, rows in images.items():
        content[phase] = {
            "label": {f"{prefix}/{path}": str(label) for path, label, _ in rows},
            "frequency": {f"{prefix}/{path}": 3 * label // num_classes for path, label, _ in rows},
            "attribute": {f"{prefix}/{path}": attribute for path, _, attribute in rows},
        }
    return content


def _write_own_glt(folder: Path, name: str, num_classes: int, size: int) -> None:
    """What tools/make_glt.py writes, and its images."""
    splits = _glt_splits(num_classes, lambda split, y, i: f"glt/{split}_{i}.png")
    _write_glt_images(folder, splits, (size, size))
    groups = tuple(3 * y // num_classes for y in range(num_classes))
    classes = tuple(f"class {y}" for y in range(num_classes))
    write_glt(folder / name, GLTFile(classes, groups, ("many", "medium", "few"), splits, {}))


def _places(folder: Path) -> None:
    """Both layouts of the images: `train/airfield/..`, `val/airfield/..` and `data_256/a/airfield/..`, `val_256/..`."""
    for name, count, split in (("train", NUM_TRAIN, "train"), ("val", NUM_TEST, "train"), ("test", NUM_TEST, "val")):
        entries = []
        for i, y in enumerate(_labels(365, count)):
            scene = f"{chr(97 + y // 15)}cene_{y}"
            image = f"{i + 100 * count:08d}.jpg" if split == "train" else f"Places365_val_{i:08d}.jpg"
            other = f"data_256/{scene[0]}/{scene}/{image}" if split == "train" else f"val_256/{image}"
            write_image(folder / other, seed=i + 100 * count)
            entries.append((f"{split}/{scene}/{image}", y))
        _write_list(folder, f"Places_LT_{name}.txt", entries)


def _inat(folder: Path) -> None:
    """`train_val2018/<group>/<category>/<hash>.jpg category`, and the competition's JSON files."""
    for name, source, count in (("train", "train2018", NUM_TRAIN), ("val", "val2018", NUM_TEST)):
        entries = [
            (f"train_val2018/Plantae/{y}/{i + 100 * count:032x}.jpg", y) for i, y in enumerate(_labels(8142, count))
        ]
        _write_list(folder, f"iNaturalist18_{name}.txt", entries)
        content = {
            "images": [{"id": i, "file_name": path, "width": 48, "height": 40} for i, (path, _) in enumerate(entries)],
            # the original does not list them in the order of the images either
            "annotations": [{"id": i, "image_id": i, "category_id": y} for i, (_, y) in enumerate(entries)][::-1],
            "categories": [{"id": i, "name": f"species {i}", "supercategory": "Plantae"} for i in range(8142)],
        }
        (folder / f"{source}.json").write_text(json.dumps(content))


def _tiny_imagenet(folder: Path) -> None:
    """`{train,val}/<wnid>/<image>.JPEG`, 64x64, some of them grayscale; every class has a folder."""
    for split, count in (("train", NUM_TRAIN), ("val", NUM_TEST)):
        for y in range(200):
            (folder / split / f"n{1443537 + y:08d}").mkdir(parents=True)
        for i, y in enumerate(_labels(200, count)):
            path = folder / split / f"n{1443537 + y:08d}" / f"{split}_{i}.JPEG"
            write_image(path, seed=i + 100 * count, size=(64, 64), mode="L" if i % 8 == 0 else "RGB")
    _write_own_glt(folder, "tiny-imagenet-glt.json", 200, 64)


def _photos(folder: Path) -> None:
    """`<class>/<image>` of ten classes, of different sizes."""
    for i, y in enumerate(_labels(10, NUM_TRAIN)):
        write_image(folder / f"class {y}" / f"{i}.jpg", seed=i, size=(48 + i, 40))


def _cifar(num_classes: int) -> Callable[[Path], None]:
    """The original pickles (two images a class) and class folders beside them."""
    source = CIFAR10 if num_classes == 10 else CIFAR100
    label_key = "labels" if num_classes == 10 else "fine_labels"

    def make(folder: Path) -> None:
        batches = folder / source.base_folder
        batches.mkdir()
        for files, split in ((source.train_list, "train"), (source.test_list, "test")):
            labels = np.tile(np.arange(num_classes), 2 if split == "train" else 1)
            pixels = np.random.default_rng(len(labels)).integers(0, 256, (len(labels), 3072), dtype=np.uint8)
            for i, (name, _) in enumerate(files):
                part = slice(i, None, len(files))
                content = {"data": pixels[part], label_key: labels[part].tolist()}
                (batches / name).write_bytes(pickle.dumps(content, protocol=2))
            for i, (label, row) in enumerate(zip(labels, pixels, strict=True)):
                path = folder / split / source.METAINFO["classes"][label] / f"{i:04d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(row.reshape(3, 32, 32).transpose(1, 2, 0)).save(path)
        if num_classes == 100:
            _write_own_glt(folder, "cifar100-glt.json", 100, 32)

    return make


MAKERS: dict[str, Callable[[Path], None]] = {
    "imagenet": _imagenet,
    "mscoco-glt": _mscoco_glt,
    "photos": _photos,
    "places": _places,
    "inat": _inat,
    "tiny-imagenet": _tiny_imagenet,
    "cifar10": _cifar(10),
    "cifar100": _cifar(100),
}
