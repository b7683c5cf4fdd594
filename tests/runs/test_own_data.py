"""--data: the images of a user in place of a config's, in every stage, with every number of classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from lt_plugins.datasets.class_names import named_classes
from lt_plugins.datasets.glt.glt_file import GLTFile, GLTImage, write_glt
from lt_plugins.datasets.labels import get_labels
from lt_plugins.errors import UserInputError
from lt_plugins.registry import DATASETS
from lt_plugins.runs.config import load_config, load_stages
from lt_plugins.runs.own_data import find_data
from tests.datasets.test_splits import write_folders
from tests.tool_process import ROOT

SIZES = {"ant": 9, "bee": 4, "cat": 1}
CONFIGS = ROOT / "configs"


def datasets(cfg: Config) -> dict[str, dict[str, Any]]:
    """The dataset of each split, without transforms."""

    def plain(node: dict[str, Any]) -> dict[str, Any]:
        return {k: plain(v) if k == "dataset" else v for k, v in node.items() if k not in ("pipeline", "test_mode")}

    return {split: plain(cfg[f"{split}_dataloader"].dataset.to_dict()) for split in ("train", "val", "test")}


def folder(root: Path, **more: str) -> dict[str, Any]:
    """The config of class folders."""
    return {"type": "ImageListDataset", "data_root": str(root), **more}


def part(name: str, dataset: dict[str, Any], fraction: float = 0.2, seed: int = 0) -> dict[str, Any]:
    """The config of a part."""
    settings = {"val_fraction": fraction, "seed": seed, "copies_together": True}
    return {"type": "SplitDataset", "part": name, **settings, "dataset": dataset}


LAYOUTS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "classes alone": ([""], {"train": ("train", ""), "val": ("val", ""), "test": ("val", "")}),
    "train alone": (["train"], {"train": ("train", "train"), "val": ("val", "train"), "test": ("val", "train")}),
    "train and val": (["train", "val"], {"train": "train", "val": "val", "test": "val"}),
    "train and test": (["train", "test"], {"train": "train", "val": "test", "test": "test"}),
    "all three": (["train", "val", "test"], {"train": "train", "val": "val", "test": "test"}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_class_folders(layout: str, tmp_path: Path) -> None:
    prefixes, expected = LAYOUTS[layout]
    for prefix in prefixes:
        write_folders(tmp_path / prefix, SIZES)
    found = datasets(load_config(str(CONFIGS / "ce/ce_r32_cifar100-lt.py"), data=str(tmp_path)))
    for split, place in expected.items():
        if isinstance(place, tuple):
            name, prefix = place
            assert found[split] == part(name, folder(tmp_path, **({"data_prefix": prefix} if prefix else {})))
        else:
            own = {} if place == "train" else {"class_folder": "train"}
            assert found[split] == folder(tmp_path, data_prefix=place, **own)


def test_a_class_that_is_called_train(tmp_path: Path) -> None:
    write_folders(tmp_path, {"car": 3, "train": 3, "test": 2})
    own = find_data(str(tmp_path))
    assert (own.num_classes, own.parts) == (3, {"all": folder(tmp_path)})


def test_without_training_images_the_test_folder_has_the_classes(tmp_path: Path) -> None:
    write_folders(tmp_path / "test", SIZES)
    own = find_data(str(tmp_path))
    assert own.num_classes == 3
    assert datasets(load_config(str(CONFIGS / "ce/ce_r32_cifar10-lt.py"), data=str(tmp_path)))["test"] == folder(
        tmp_path, data_prefix="test", class_folder="train"
    )


METHODS = [
    "ce/ce_r50_imagenet-lt.py",
    "paco/paco_r32_cifar10-lt.py",
    "lpa/lpa_r32_cifar100-lt.py",
    "isda/isda_r32_cifar10-lt.py",
    "mislas/mislas_r32_cifar100-lt.py",
    "mislas/mislas_r50_imagenet-lt.py",
    "lcreg/lcreg_r32_cifar10-lt.py:m20",
    "sbcl/sbcl_r32_cifar100-lt.py:lt50",
    "sbcl/sbcl_r32_digits.py",
    "kcl/kcl_r50_imagenet-lt.py",
]


@pytest.mark.parametrize("spec", METHODS)
def test_every_number_of_classes_follows(spec: str, tmp_path: Path) -> None:
    write_folders(tmp_path, SIZES)
    before, stages = load_stages(f"{CONFIGS}/{spec}"), load_stages(f"{CONFIGS}/{spec}", data=str(tmp_path))
    assert len(before) == len(stages)
    for old, new in zip(before, stages, strict=True):
        assert set(numbers_of_classes(new)) == {3}
        assert len(list(numbers_of_classes(new.model))) == len(list(numbers_of_classes(old.model))) > 0
        assert new.data_preprocessor.num_classes == 3
        for split in ("train", "val", "test"):
            pipelines = [innermost(cfg[f"{split}_dataloader"].dataset)["pipeline"] for cfg in (old, new)]
            pipelines[1][0].pop("min_side", None)
            assert pipelines[0] == pipelines[1], "each stage keeps its transforms"
        for evaluator in (new.val_evaluator, new.test_evaluator):
            assert max(k for metric in evaluator for k in metric.get("topk", (1,))) <= 3
        assert innermost(new.val_dataloader.dataset)["test_mode"] is True


def innermost(dataset: dict[str, Any]) -> dict[str, Any]:
    """The dataset that has the transforms."""
    while "dataset" in dataset:
        dataset = dataset["dataset"]
    return dataset


def numbers_of_classes(node: Any) -> Any:
    """All numbers of classes in a config."""
    if isinstance(node, (dict, Config)):
        for key, value in node.items():
            if key == "num_classes":
                yield value
            yield from numbers_of_classes(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from numbers_of_classes(value)


def test_the_split_is_in_the_config(tmp_path: Path) -> None:
    write_folders(tmp_path, SIZES)
    overrides = {"split": {"val_fraction": 0.5}, "split.seed": 3}
    first, second = load_stages(str(CONFIGS / "mislas/mislas_r32_digits.py"), overrides, data=str(tmp_path))
    for cfg in (first, second):
        assert datasets(cfg)["train"] == part("train", folder(tmp_path), 0.5, 3)
        assert datasets(cfg)["val"] == part("val", folder(tmp_path), 0.5, 3)
    train, val = (DATASETS.build(first[f"{split}_dataloader"].dataset) for split in ("train", "val"))
    assert (len(train), len(val)) == (4 + 2 + 1, 5 + 2)
    for wrong, message in {
        "split.val_fraction": "split.val_fraction=1.0 in the config must be a number above 0 and of at most 0.9",
        "split.sead": "split has no key 'sead'; did you mean 'seed'",
    }.items():
        with pytest.raises(UserInputError, match=message):
            load_stages(str(CONFIGS / "ce/ce_r32_digits.py"), {wrong: 1.0}, data=str(tmp_path))


def test_lists(tmp_path: Path) -> None:
    write_folders(tmp_path, SIZES)
    lines = [f"{name}/{k}.png {label}" for label, name in enumerate(SIZES) for k in range(SIZES[name])]
    (tmp_path / "birds.txt").write_text("\n".join([*lines, ""]))
    cfg = load_config(str(CONFIGS / "ce/ce_r32_digits.py"), data=str(tmp_path / "birds.txt"))
    inner = {"type": "ImageListDataset", "data_root": str(tmp_path), "ann_file": "birds.txt", "num_classes": 3}
    assert datasets(cfg)["train"] == part("train", inner)
    train, val = (DATASETS.build(cfg[f"{split}_dataloader"].dataset) for split in ("train", "val"))
    assert (len(train), len(val)) == (11, 3)
    assert train[0]["inputs"].shape == (3, 32, 32) or train[0]["inputs"].shape[0] == 3
    (tmp_path / "absolute.txt").write_text("\n".join(f"{tmp_path}/{line}" for line in lines))
    cfg = load_config(str(CONFIGS / "ce/ce_r32_digits.py"), data=str(tmp_path / "absolute.txt"))
    assert len(DATASETS.build(cfg.val_dataloader.dataset)) == 3


TABLES = {
    "names": ("path,label", lambda name, k: f"{name}/{k}.png,{name}", None),
    "numbers": ("label;File", lambda name, k: f"{[*SIZES].index(name)};{name}/{k}.png", None),
    "train alone": ("path,label,split", lambda name, k: f"{name}/{k}.png,{name},train", ("train",)),
    "split": (
        "image\tclass\tsubset",
        lambda name, k: f'"{name}/{k}.png"\t{name}\t{["Train", "validation", "test"][k % 3]}',
        ("train", "val", "test"),
    ),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables(kind: str, tmp_path: Path) -> None:
    header, row, splits = TABLES[kind]
    write_folders(tmp_path, SIZES)
    rows = [row(name, k) for name, size in SIZES.items() for k in range(size)]
    (tmp_path / "birds.CSV").write_text("\n".join([header, *rows, "", ""]))
    cfg = load_config(str(CONFIGS / "ce/ce_r32_digits.py"), data=str(tmp_path / "birds.CSV"))
    assert cfg.model.head.num_classes == 3
    built = {split: DATASETS.build(cfg[f"{split}_dataloader"].dataset) for split in ("train", "val", "test")}
    assert {named_classes(dataset) for dataset in built.values()} == {None if kind == "numbers" else tuple(SIZES)}
    if splits == ("train", "val", "test"):
        assert [len(dataset) for dataset in built.values()] == [3 + 2 + 1, 3 + 1, 3 + 1]
        assert datasets(cfg)["val"]["split"] == "val"
    else:
        assert [len(dataset) for dataset in built.values()] == [11, 3, 3]
        assert datasets(cfg)["train"]["dataset"].get("split") == (splits[0] if splits else None)
    assert get_labels(built["train"]).tolist() == sorted(get_labels(built["train"]))
    assert len(built["val"][0]["inputs"]) == 3


WRONG_TABLES = {
    "": "line 1: '' names no column 'path'; start the file with a line like path,label",
    "file,size\n": "line 1: 'file,size' names no column 'label'",
    "path,label\n": "has no images",
    "path,label\na.png\n": "line 2: no label; each line needs a path and a label",
    "path,label\na.png,b\n,c\n": "line 3: no path",
    "path,label,split\na.png,b,trian\n": "line 2: split 'trian' is not one of train, val, test",
    "path,label,split\na.png,b,\n": "line 2: split '' is not one of",
}


@pytest.mark.parametrize("text", WRONG_TABLES)
def test_mistakes_in_tables(text: str, tmp_path: Path) -> None:
    (tmp_path / "birds.csv").write_text(text)
    with pytest.raises(UserInputError, match=WRONG_TABLES[text]):
        load_config(str(CONFIGS / "ce/ce_r32_digits.py"), data=str(tmp_path / "birds.csv"))


def test_mistakes(tmp_path: Path) -> None:
    ce = str(CONFIGS / "ce/ce_r32_digits.py")
    (tmp_path / "empty").mkdir()
    write_folders(tmp_path / "images", SIZES)
    for data, overrides, message in (
        ("none", {}, "--data .*none not found; give a folder of class folders, or a list"),
        ("empty", {}, "has no class folders; expected .*/<class>/<image>, or .*/train/<class>/<image>"),
        ("images", {"train_dataloader.dataset.max_count": 3}, r"max_count: --data replaces this dataset"),
        ("images", {"val_dataloader.dataset.indices": 3}, r"indices: --data replaces this dataset"),
    ):
        with pytest.raises(UserInputError, match=message):
            load_config(ce, overrides, data=str(tmp_path / data))
    own = load_config(ce, {"train_dataloader.dataset.dataset.pipeline.1.pad_val": 3}, data=str(tmp_path / "images"))
    assert innermost(own.train_dataloader.dataset)["pipeline"][1].pad_val == 3


def test_a_glt_benchmark_keeps_its_protocol(tmp_path: Path) -> None:
    """Its file is own data of any config; another one is measured by its metric, and own images are not."""
    images = {split: [GLTImage(f"{split}.png", i, 0)] for i, split in enumerate(("train-glt", "val-glt", "test-gbl"))}
    write_glt(tmp_path / "birds.json", GLTFile(("a", "b", "c"), (0, 1, 2), ("one",), images, {}))
    glt = {"type": "GLTDataset", "data_root": str(tmp_path), "ann_file": "birds.json"}
    for spec, kind, tests in (
        ("ce/ce_r32_cifar100-glt.py", "glt", ["test-cbl", "test-gbl"]),
        ("ce/ce_r32_cifar100-glt.py:alt", "cbl", ["test-gbl"]),
        ("ce/ce_r32_cifar100-lt.py", "glt", ["test-cbl", "test-gbl"]),
    ):
        cfg = load_config(f"{CONFIGS}/{spec}", data=str(tmp_path / "birds.json"))
        splits = {"train": f"train-{kind}", "val": f"val-{kind}", "test": tests}
        assert datasets(cfg) == {loop: {**glt, "split": split} for loop, split in splits.items()}
        assert set(numbers_of_classes(cfg)) == {3}
        assert cfg.test_evaluator == {"type": "GLTMetric"}

    write_folders(tmp_path / "plain", SIZES)
    cfg = load_config(str(CONFIGS / "ce/ce_r32_cifar100-glt.py"), data=str(tmp_path / "plain"))
    assert [metric["type"] for metric in cfg.val_evaluator] == ["ShotAccuracy", "CalibrationError"]
    assert cfg.test_evaluator == cfg.val_evaluator
