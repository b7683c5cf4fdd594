"""Every dataset config reads its miniature; the pipelines are those of the recipes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS, TRANSFORMS
from torchvision.transforms import AutoAugment, AutoAugmentPolicy  # type: ignore[import-untyped]

from lt_plugins.datasets.digits_dataset import DigitsDataset
from lt_plugins.datasets.labels import get_class_counts, get_labels
from lt_plugins.datasets.leaf_table import build_leaf_table
from lt_plugins.datasets.profiles import class_profile
from lt_plugins.runs.config import read_stages
from lt_plugins.runs.own_data import find_data, use_data
from tests.miniatures import miniature_cfg, write_image

BASE = Path(__file__).resolve().parents[2] / "configs/_base_"
CONFIGS = sorted((BASE / "datasets").glob("*.py"))
NUM_CLASSES = {
    **{"cifar10": 10, "cifar100": 100, "digits": 10, "imagenet": 1000, "inat": 8142, "mscoco": 29, "places": 365},
    "tiny": 200,
}
SIZE = {"cifar10": 32, "cifar100": 32, "digits": 32, "imagenet": 224, "inat": 224, "places": 224, "tiny": 64}
GLT_SIZE = {**SIZE, "imagenet": 112, "mscoco": 112}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    init_default_scope("mmpretrain")
    return tmp_path_factory.mktemp("miniatures")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_reads_its_miniature(path: Path, root: Path) -> None:
    cfg = miniature_cfg(path, root)
    family = path.stem.split("-")[0]
    num_classes, size = NUM_CLASSES[family], (GLT_SIZE if path.stem.endswith("glt") else SIZE)[family]
    assert cfg.data_preprocessor.num_classes == num_classes
    assert cfg.data_preprocessor.to_rgb
    for split in ("train", "val", "test"):
        loader = cfg[f"{split}_dataloader"]
        dataset = DATASETS.build(loader.dataset)
        assert int(get_class_counts(dataset, num_classes).sum()) == len(dataset)
        assert get_labels(dataset).max() == num_classes - 1, "the real number of classes"
        for i in range(0, len(dataset), 7):
            sample = dataset[i]
            assert sample["inputs"].shape == (3, size, size)
            assert sample["inputs"].dtype == torch.uint8
            assert sample["data_samples"].sample_idx == i
        assert loader.sampler == {"type": "DefaultSampler", "shuffle": split == "train"}
        assert loader.collate_fn.type == "default_collate"
        assert bool(loader.dataset.get("test_mode")) == (split != "train")
    assert cfg.train_dataloader.worker_init_fn.type == "epoch_worker_init"
    topk = (1,) if num_classes <= 10 else (1, 5)
    metrics = [{"type": "ShotAccuracy", "topk": topk}, {"type": "CalibrationError"}]
    glt = {"type": "GLTMetric"}
    is_glt = path.stem.endswith("glt")
    assert cfg.val_evaluator == ([*metrics, glt] if is_glt else metrics)
    assert cfg.test_evaluator == (glt if is_glt else cfg.val_evaluator)


@pytest.mark.parametrize("path", [path for path in CONFIGS if path.stem.endswith("glt")], ids=lambda path: path.stem)
def test_protocols_of_glt_benchmarks(path: Path, root: Path) -> None:
    """CLT and GLT are tested in one pass; ALT is a variant, on the other training set."""
    kinds = {"": ("glt", ("test-cbl", "test-gbl")), ":alt": ("cbl", ("test-gbl",))}
    for variant, (kind, tests) in kinds.items():
        cfg = miniature_cfg(f"{path}{variant}", root)
        names = {"train": (f"train-{kind}",), "val": (f"val-{kind}",), "test": tests}
        for split, expected in names.items():
            dataset = DATASETS.build(cfg[f"{split}_dataloader"].dataset)
            assert dataset.glt["subset_names"] == expected
            for index in (0, len(dataset) - 1):
                assert Path(dataset.get_data_info(index)["img_path"]).is_file()


@pytest.mark.parametrize("name", ["places-lt.py:standard", "cifar10-lt.py:lt10"])
def test_dumped_config_is_the_same(name: str, tmp_path: Path) -> None:
    (cfg,) = read_stages(str(BASE / "datasets" / name))
    cfg.dump(tmp_path / "dumped.py")  # what the runner writes into the work dir
    assert Config.fromfile(tmp_path / "dumped.py").to_dict() == cfg.to_dict()


@pytest.mark.parametrize("name", ["cifar10-lt.py", "cifar100-lt.py"])
def test_imbalance_factors(name: str) -> None:
    for variant, factor in {"": 100, ":lt50": 50, ":lt10": 10}.items():
        (cfg,) = read_stages(f"{BASE}/datasets/{name}{variant}")
        assert cfg.train_dataloader.dataset.imbalance_factor == factor


def test_pickles_and_folders_hold_the_same_pixels(root: Path) -> None:
    cfgs = [miniature_cfg(BASE / "datasets/cifar10-lt.py", root) for _ in range(2)]
    use_data(cfgs[1], find_data(str(root / "cifar10")))
    tests = [DATASETS.build(cfg.test_dataloader.dataset) for cfg in cfgs]
    images = [
        {label: dataset[i]["inputs"] for i, label in enumerate(get_labels(dataset).tolist())} for dataset in tests
    ]
    assert all(torch.equal(images[0][label], images[1][label]) for label in range(10))


def test_places_has_both_layouts(root: Path) -> None:
    for name, train, test in (
        ("places-lt.py", "train/", "val/"),
        ("places-lt.py:standard", "data_256/a/", "val_256/Places365_val_"),
    ):
        cfg = miniature_cfg(BASE / "datasets" / name, root)
        for split, start in (("train", train), ("val", train), ("test", test)):
            info = DATASETS.build(cfg[f"{split}_dataloader"].dataset).get_data_info(0)
            assert Path(info["img_path"]).relative_to(root / "places").as_posix().startswith(start)


def test_validation_is_not_the_test_set_where_there_is_one() -> None:
    for name in ("imagenet-lt", "places-lt"):
        cfg = Config.fromfile(BASE / f"datasets/{name}.py")
        lists = [cfg[f"{split}_dataloader"].dataset.ann_file for split in ("train", "val", "test")]
        assert [Path(file).stem.split("_")[-1] for file in lists] == ["train", "val", "test"]


def test_digits_fit_their_profile_and_statistics() -> None:
    cfg = Config.fromfile(BASE / "datasets/digits.py")
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert dataset.class_counts.tolist() == class_profile(10, 124, 50).tolist()
    train = DigitsDataset("train")
    pixels = np.stack([train.get_data_info(i)["img"] for i in range(len(train))])
    assert cfg.data_preprocessor.mean == pytest.approx([pixels.mean()] * 3, abs=1)
    assert cfg.data_preprocessor.std == pytest.approx([pixels.std()] * 3, abs=1)
    assert build_leaf_table(dataset).leaves[0].split == "train"


# ------------------------------------------------------------------------------------------------------------ views


def _pipelines() -> list[tuple[str, str, int]]:
    sizes = {"paco_cifar": 32, "paco_digits": 32, "paco_imagenet": 224}
    return [
        (name, key, size)
        for name, size in sizes.items()
        for key, steps in Config.fromfile(BASE / f"pipelines/{name}.py").items()
        if key.endswith("train_pipeline") and any(step["type"] == "MultiView" for step in steps)
    ]


@pytest.mark.parametrize(("name", "key", "size"), _pipelines())
def test_two_views(name: str, key: str, size: int, root: Path) -> None:
    steps = Config.fromfile(BASE / f"pipelines/{name}.py")[key]
    pipeline = Compose([TRANSFORMS.build(step) for step in steps])
    image = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    results = [pipeline({"img": image.copy(), "gt_label": 3, "sample_idx": 8}) for _ in range(8)]
    for result in results:
        assert [view.shape for view in result["inputs"]] == [(3, size, size)] * 2
        assert [view.dtype for view in result["inputs"]] == [torch.uint8] * 2
        assert not torch.equal(*result["inputs"]), "the views differ"
        assert result["data_samples"].sample_idx == 8
    assert len({result["inputs"][0].numpy().tobytes() for result in results}) > 5, "and from draw to draw"


def _standard(step: dict[str, Any]) -> tuple[str, float, float | None]:
    """A step of our policy in torchvision's terms: operation, probability, magnitude."""
    values = {key: value for key, value in step.items() if key not in ("type", "prob", "direction", "pad_val")}
    name = {"ColorTransform": "Color"}.get(step["type"], step["type"])
    if "direction" in step:
        name += {"horizontal": "X", "vertical": "Y"}[step["direction"]]
    return name, step["prob"], float(*values.values()) if values else None


def test_cifar_policy_is_the_published_one() -> None:
    ours = Config.fromfile(BASE / "pipelines/paco_cifar.py").cifar_policies
    reference = AutoAugment(AutoAugmentPolicy.CIFAR10)
    space = reference._augmentation_space(10, (32, 32))
    assert len(ours) == len(reference.policies)
    for pair, published in zip(ours, reference.policies, strict=True):
        for step, (operation, probability, level) in zip(pair, published, strict=True):
            name, prob, magnitude = _standard(step)
            assert (name, prob) == (operation, probability)
            if level is None:
                assert magnitude is None
                continue
            assert magnitude is not None
            expected = float(space[operation][0][level])
            if operation.startswith("Translate"):
                expected /= 32  # torchvision counts pixels
            assert magnitude == pytest.approx(expected, abs=1.01 if operation == "Solarize" else 1e-3)


def test_own_folder_as_documented(tmp_path: Path) -> None:
    command = re.search(
        r"python tools/train.py (\S+) --data data/birds\n", (BASE.parents[1] / "docs/data.md").read_text()
    )
    assert command, "docs/data.md shows how to train on own images"
    for split in ("train", "val"):
        for i in range(12):
            write_image(tmp_path / split / f"class_{i:02d}" / "image.webp", seed=i)
    for cfg in read_stages(str(BASE.parents[1] / command[1]), data=str(tmp_path)):
        assert cfg.model.head.num_classes == cfg.data_preprocessor.num_classes == 12
        for split in ("train", "val", "test"):
            dataset = DATASETS.build(cfg[f"{split}_dataloader"].dataset)
            assert get_labels(dataset).tolist() == list(range(12))
        assert dataset[11]["inputs"].shape == (3, 224, 224)


def test_shifted_test_sets_of_digits() -> None:
    """Validation and test set are the same images, so that nothing is chosen on those to predict."""
    variants = Config.fromfile(BASE / "datasets/digits.py").shifted_tests
    assert {*variants} == {"forward10", "forward50", "backward10", "backward50"}
    for name, factor in (("forward10", 10), ("backward50", 50)):
        cfg = Config.fromfile(BASE / "datasets/digits.py")
        cfg.merge_from_dict(variants[name])
        assert cfg.val_dataloader.dataset == cfg.test_dataloader.dataset
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
        expected = class_profile(10, 50, factor).tolist()
        assert dataset.class_counts.tolist() == (expected if name == "forward10" else expected[::-1])
        assert build_leaf_table(dataset).leaves[0].split == "test"
