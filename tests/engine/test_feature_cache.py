"""Features of a frozen backbone: computed once, found by image, weights and transforms, trained on as on the images."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from torch import Tensor, nn

from lt_plugins.datasets import feature_dataset
from lt_plugins.datasets.feature_dataset import FeatureDataset
from lt_plugins.datasets.labels import get_labels
from lt_plugins.engine import feature_cache
from lt_plugins.engine.feature_cache import cache_folder, cached_features, feature_identity
from lt_plugins.errors import UserInputError
from lt_plugins.models.evaluation_mode import evaluation_mode
from lt_plugins.registry import DATASETS, MODELS
from tests.gloo import run_gloo
from tests.miniatures import write_image
from tests.small_runs import MakeRunner

PIPELINE: list[dict] = [{"type": "LoadImage"}, {"type": "Resize", "scale": (16, 16)}, {"type": "PackInputs"}]
FROZEN = {"type": "FrozenBackboneClassifier", "backbone": {"type": "CIFARResNet", "depth": 20}}
HEAD = {"type": "CosineClsHead", "num_classes": 3, "in_channels": 64}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Class folders of different images."""
    for number in range(7):
        write_image(tmp_path / f"photos/{'abc'[number % 3]}/{number}.png", seed=number, size=(20 + number, 24))
    return tmp_path / "photos"


def images(photos: Path) -> Any:
    return DATASETS.build({"type": "ImageListDataset", "data_root": str(photos), "pipeline": PIPELINE})


def network(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    model = MODELS.build({**copy.deepcopy(FROZEN), "head": dict(HEAD)})
    model.init_weights()
    return model.train()


def features(model: Any, photos: Path, folder: Path, pipeline: list[dict] | None = None) -> tuple[Tensor, int]:
    return cached_features(
        model, images(photos), pipeline or PIPELINE, folder=folder, batch_size=2, num_workers=0, description="features"
    )


def one_by_one(model: Any, photos: Path) -> Tensor:
    """The features, by an image at a time through the backbone."""
    rows = []
    with evaluation_mode(model), torch.no_grad():
        for sample in images(photos):
            pixels = model.data_preprocessor(pseudo_collate([sample]), training=False)["inputs"]
            rows.append(model.backbone(pixels)[-1].mean(dim=(2, 3))[0])
    return torch.stack(rows)


def test_of_each_image_once(photos: Path, tmp_path: Path) -> None:
    model = network()
    first, computed = features(model, photos, tmp_path / "cache")
    assert computed == 7
    torch.testing.assert_close(first, one_by_one(model, photos), rtol=1e-4, atol=1e-4)
    again, computed = features(model, photos, tmp_path / "cache")
    assert computed == 0
    assert torch.equal(again, first)
    assert model.training, "the pass leaves the model as it was"


def test_only_new_images_are_computed(photos: Path, tmp_path: Path) -> None:
    """By their contents, whatever they are called and wherever they lie."""
    model = network()
    features(model, photos, tmp_path / "cache")
    (photos / "a/0.png").rename(photos / "c/renamed.png")
    write_image(photos / "b/new.png", seed=99)
    write_image(photos / "b/1.png", seed=100, size=(21, 24))  # another image under an old name, of the old size
    found, computed = features(model, photos, tmp_path / "cache")
    assert computed == 2
    torch.testing.assert_close(found, one_by_one(model, photos), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("change", ["weights", "statistics", "normalisation", "transforms", "network"])
def test_what_features_follow_from_makes_another_file(change: str, photos: Path, tmp_path: Path) -> None:
    model = network()
    features(model, photos, tmp_path / "cache")
    pipeline = list(PIPELINE)
    if change == "weights":
        model.backbone.conv1.weight.data[0, 0, 0, 0] += 1e-6
    elif change == "statistics":
        model.backbone.bn1.running_mean[0] += 1e-6
    elif change == "normalisation":
        model.data_preprocessor.channel_conversion = True
    elif change == "transforms":
        pipeline[1] = {"type": "Resize", "scale": (17, 16)}
    else:
        model.backbone.relu = nn.ReLU6()
    assert features(model, photos, tmp_path / "cache", pipeline)[1] == 7
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_head_classes_and_where_weights_came_from_make_no_difference() -> None:
    """A later stage begins from a checkpoint, and finds the features of the first."""
    model, identity = network(), feature_identity(network(), PIPELINE)
    model.head.fc.weight.data += 1
    model.backbone.init_cfg = {"type": "Pretrained", "checkpoint": "elsewhere.pth"}
    assert "elsewhere" in repr(model.backbone)
    model.data_preprocessor.num_classes = 11
    assert feature_identity(model, PIPELINE) == identity


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign", "empty"])
def test_a_damaged_file_is_not_believed(damage: str, photos: Path, tmp_path: Path, caplog: Any) -> None:
    model = network()
    first, _ = features(model, photos, tmp_path / "cache")
    [path] = (tmp_path / "cache").iterdir()
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    path.write_bytes(bytes({"cut": content[:-40], "flipped": content, "foreign": b"no archive", "empty": b""}[damage]))
    with caplog.at_level(logging.WARNING):
        again, computed = features(model, photos, tmp_path / "cache")
    assert computed == 7
    assert torch.equal(again, first)
    assert features(model, photos, tmp_path / "cache")[1] == 0, "it is written anew"


def test_without_a_place_to_write_the_run_goes_on(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")
    model = network()
    found, computed = features(model, photos, tmp_path / "cache")
    assert computed == 7
    torch.testing.assert_close(found, one_by_one(model, photos), rtol=1e-4, atol=1e-4)


def test_a_file_that_grows_too_large_keeps_the_last_run(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network()
    features(model, photos, tmp_path / "cache")
    for path in sorted(photos.rglob("*.png"))[:4]:
        path.unlink()
    write_image(photos / "a/new.png", seed=99)
    monkeypatch.setattr(feature_cache, "MAX_BYTES", 5 * (64 * 4 + 16))
    assert features(model, photos, tmp_path / "cache")[1] == 1
    [path] = (tmp_path / "cache").iterdir()
    with np.load(path) as content:
        assert len(content["keys"]) == 4


def test_images_in_memory(tmp_path: Path) -> None:
    digits = DATASETS.build({"type": "DigitsDataset", "split": "test", "indices": 6, "pipeline": PIPELINE})
    model = network()
    options: dict[str, Any] = {"folder": tmp_path, "batch_size": 4, "num_workers": 0, "description": "features"}
    first, computed = cached_features(model, digits, PIPELINE, **options)
    assert computed == 6
    again, computed = cached_features(model, digits, PIPELINE, **options)
    assert computed == 0
    assert torch.equal(again, first)


def _on_each_rank(photos: Path, folder: Path) -> tuple[Tensor, int]:
    return features(network(), photos, folder)


def test_two_processes(photos: Path, tmp_path: Path) -> None:
    """Each has all features; of known images, those of the file that one of them reads."""
    hidden = photos / "a/6.png"
    content = hidden.read_bytes()
    hidden.unlink()
    for name, total in (("before", 6), ("after", 1)):
        results = run_gloo(_on_each_rank, photos, tmp_path / "cache", folder=tmp_path / name)
        assert [computed for _, computed in results] == [total, total]
        assert torch.equal(results[0][0], results[1][0])
        torch.testing.assert_close(results[0][0], one_by_one(network(), photos), rtol=1e-4, atol=1e-4)
        hidden.write_bytes(content)


def test_the_folder_follows_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "lt_plugins/features"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home/.cache/lt_plugins/features"


# ------------------------------------------------------------------------------------------------- training on them


def pretrained(folder: Path) -> str:
    """A checkpoint of a backbone that has moved away from its initial statistics."""
    model = network()
    model.backbone.bn1.running_mean.normal_(0, 0.1)
    path = folder / "pretrained.pth"
    torch.save({"state_dict": model.state_dict()}, path)
    return str(path)


def overrides(folder: Path, hooks: list[dict], **others: Any) -> dict[str, Any]:
    """A frozen classifier of digits that are seen without augmentation."""
    head = {"type": "CosineClsHead", "num_classes": 10, "in_channels": 64, "loss": {"type": "LogitAdjustmentLoss"}}
    return {
        "model": {"_delete_": True, **copy.deepcopy(FROZEN), "head": head},
        "train_dataloader.dataset.dataset.pipeline": [{"type": "LoadImage"}, {"type": "PackInputs"}],
        "optim_wrapper": {"_delete_": True, "optimizer": {"type": "AdamW", "lr": 1e-3}},
        "load_from": pretrained(folder),
        "custom_hooks": hooks,
        "train_cfg.val_interval": 1,
        **others,
    }


def hooks(folder: Path) -> list[dict]:
    return [{"type": "FeatureCacheHook", "folder": str(folder), "num_workers": 0}, CLASS_MEANS]


CLASS_MEANS = {"type": "ClassMeanHook", "num_workers": 0}


def state(runner: Runner) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in runner.model.state_dict().items()}


def test_training_on_features_is_training_on_images(make_runner: MakeRunner, tmp_path: Path) -> None:
    """The same head and the same validation, to rounding; the checkpoint is a whole classifier."""
    on_images = make_runner(**overrides(tmp_path, [CLASS_MEANS], work_dir=str(tmp_path / "images")))
    on_images.train()
    on_features = make_runner(**overrides(tmp_path, hooks(tmp_path / "cache"), work_dir=str(tmp_path / "features")))
    on_features.train()
    assert isinstance(on_features.train_dataloader.dataset, FeatureDataset)
    expected, found = state(on_images), state(on_features)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5, msg=name)
    scores = [runner.message_hub.get_scalar("val/shot/accuracy_top1").current() for runner in (on_images, on_features)]
    assert scores[0] == scores[1]
    saved = torch.load(tmp_path / "features/epoch_3.pth", weights_only=False)["state_dict"]
    assert saved.keys() == on_features.model.state_dict().keys()


def test_resuming_is_exact_and_computes_nothing(
    make_runner: MakeRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_runner(**overrides(tmp_path, hooks(tmp_path / "cache"), work_dir=str(tmp_path / "whole")))
    whole.train()
    monkeypatch.setattr(feature_cache, "gather_features", lambda *_, **__: pytest.fail("features are computed again"))
    checkpoint = str(tmp_path / "whole/epoch_2.pth")
    changes = {"work_dir": str(tmp_path / "rest"), "load_from": checkpoint, "resume": True}
    rest = make_runner(**{**overrides(tmp_path, hooks(tmp_path / "cache")), **changes})
    rest.train()
    assert rest.iter == whole.iter
    for name, value in state(whole).items():
        assert torch.equal(state(rest)[name], value), name


def test_the_classifier_starts_from_class_means(make_runner: MakeRunner, tmp_path: Path) -> None:
    """Against a loop over the images; a class without any gets the mean of the others."""
    runner = make_runner(
        **overrides(tmp_path, hooks(tmp_path / "cache")),
        **{"train_dataloader.dataset.imbalance_factor": 2, "default_hooks.preflight.allow_empty_classes": True},
    )
    dataset = runner.train_dataloader.dataset
    labels = get_labels(dataset)
    started: list[Tensor] = []
    for hook in runner.hooks:
        if type(hook).__name__ == "ClassMeanHook":
            original = hook.before_train

            def before_train(runner: Runner, original: Any = original) -> None:
                original(runner)
                started.append(runner.model.head.fc.weight.detach().clone())

            hook.before_train = before_train
    runner.train()
    rows: dict[int, list[Tensor]] = {}
    model = runner.model
    with evaluation_mode(model), torch.no_grad():
        for index, label in enumerate(labels):
            batch = pseudo_collate([dataset[index]])
            if "inputs" not in batch or not isinstance(batch["inputs"][0], Tensor):
                continue
            pixels = model.data_preprocessor(batch, training=False)["inputs"]
            rows.setdefault(int(label), []).append(model.extract_feat(pixels)[-1][0].double())
    means = torch.stack([torch.stack(rows[label]).mean(dim=0) for label in range(10)])
    torch.testing.assert_close(started[0].double(), F.normalize(means), rtol=1e-5, atol=1e-6)


def test_a_feature_of_each_image_is_needed() -> None:
    digits = DATASETS.build({"type": "DigitsDataset", "split": "test", "indices": 6, "pipeline": PIPELINE})
    with pytest.raises(UserInputError, match="5 features for a dataset of 6 images"):
        FeatureDataset(digits, torch.zeros(5, 2))
    dataset = FeatureDataset(digits, torch.arange(12.0).reshape(6, 2))
    [batch] = dataset.__getitems__([4, 1])
    assert feature_dataset.take_batch([batch]) is batch
    assert batch["inputs"].tolist() == [[8, 9], [2, 3]]
    assert batch["data_samples"].sample_idx.tolist() == [4, 1]
    assert batch["data_samples"].labels.tolist() == get_labels(digits)[[4, 1]].tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model.norm_eval": False}, "features that stay as they are"),
        ({"model.train_cfg": {"augments": {"type": "Mixup", "alpha": 1.0}}}, "none can be mixed"),
        ({"model.head.type": "LinearHead"}, "LinearHead"),
    ],
)
def test_what_does_not_fit_is_refused(
    change: dict[str, Any], message: str, make_runner: MakeRunner, tmp_path: Path
) -> None:
    runner = make_runner(**overrides(tmp_path, hooks(tmp_path / "cache")), **change)
    with pytest.raises(UserInputError, match=message):
        runner.train()
