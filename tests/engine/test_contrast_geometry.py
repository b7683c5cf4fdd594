"""Geometry of a model's features: which features, images and views are measured, and the numbers of the groups."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from torch import Tensor

from lt_plugins.analysis.trained_model import build_plain_dataset
from lt_plugins.datasets.labels import get_labels
from lt_plugins.datasets.pipelines import loader_pipeline, replace_pipeline
from lt_plugins.engine.contrast_geometry import (
    ContrastGeometry,
    ViewPairs,
    describe_features,
    draw_images,
    has_projections,
    measure_geometry,
    sphere_features,
)
from lt_plugins.errors import UserInputError
from lt_plugins.models.build import build_model
from lt_plugins.models.structures import ClassDistribution
from lt_plugins.runs.config import load_config
from tests.gloo import run_gloo
from tests.tool_process import ROOT

COUNTS = (124, 110, 60, 40, 30, 20, 12, 9, 5, 2)
SMALL = {"model.backbone.depth": 20}


def make_model(config: str, **overrides: Any) -> tuple[Any, Config]:
    """A model with random weights that knows its class counts, and its config."""
    cfg = load_config(str(ROOT / "configs" / config), {**SMALL, **overrides}, stage=1)
    torch.manual_seed(0)
    model: Any = build_model(cfg)
    model.class_distribution = ClassDistribution(10)
    model.class_distribution.set_counts(COUNTS)
    return model.eval(), cfg


def measure(config: str, max_images: int, **options: Any) -> ContrastGeometry:
    model, cfg = make_model(config)
    return measure_geometry(model, build_plain_dataset(cfg, "val"), cfg, max_images=max_images, **options)


def test_numbers_of_groups() -> None:
    """Each class weighs the same, but in the uniformity each image; what cannot be told is left out."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0] * 6 + [1] * 3 + [2] + [4] * 2)
    features = F.normalize(torch.randn(len(labels), 4, generator=generator), dim=1)
    stretch = torch.rand(len(labels), generator=generator)
    found = describe_features(features, stretch, labels, ["many", "medium", "medium", "medium", "few"])
    rows, classes = features.double().tolist(), labels.tolist()

    def of_class(label: int) -> dict[str, float]:
        own = [place for place, other in enumerate(classes) if other == label]
        rest = [place for place, other in enumerate(classes) if other != label]
        inner = [math.dist(rows[a], rows[b]) for a, b in itertools.combinations(own, 2)]
        outer = [math.dist(rows[a], rows[b]) for a in own for b in rest]
        values = {"alignment": [float(stretch[place]) for place in own], "within": inner, "between": outer}
        return {name: sum(numbers) / len(numbers) for name, numbers in values.items() if numbers}

    members = {"all": [0, 1, 2, 4], "many": [0], "medium": [1, 2], "few": [4]}  # class 3 has no image
    for group, own in members.items():
        for name in ("alignment", "within", "between"):
            known = [of_class(label)[name] for label in own if name in of_class(label)]
            assert found.numbers[name][group] == pytest.approx(sum(known) / len(known), abs=1e-6)
        pairs = itertools.combinations([row for row, label in zip(rows, classes, strict=True) if label in own], 2)
        kernel = [math.exp(-2 * math.dist(a, b) ** 2) for a, b in pairs]
        assert found.numbers["uniformity"][group] == pytest.approx(math.log(sum(kernel) / len(kernel)), abs=1e-6)
    assert found.by_class["within"].isnan().tolist() == [False, False, True, True, False]
    assert found.directions.isnan().any(dim=1).tolist() == [False, False, False, True, False]

    single = describe_features(features[9:10], stretch[9:10], labels[9:10], ["many", "medium", "few"])
    assert {name: [*values] for name, values in single.numbers.items()} == {
        "alignment": ["all", "few"],
        "uniformity": [],
        "within": [],
        "between": [],
    }


@pytest.mark.parametrize(("max_images", "quota"), [(1, 2), (12, 4), (1000, 1000)])
def test_drawn_images(max_images: int, quota: int) -> None:
    labels = torch.tensor([3, 0, 0, 3, 3, 1, 3, 3, 0, 3, 3])
    drawn = draw_images(labels, max_images, 5)
    assert drawn.tolist() == sorted(set(drawn.tolist()))
    assert labels[drawn].bincount().tolist() == [min(quota, 3), 1, 0, min(quota, 7)]
    assert torch.equal(drawn, draw_images(labels, max_images, 5))
    if quota < 7:
        assert any(not torch.equal(drawn, draw_images(labels, max_images, seed)) for seed in range(6, 12))


def test_features_are_projections_where_there_is_a_projector() -> None:
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        momentum, _ = make_model("paco/paco_r32_digits.py")
        momentum.key_encoder["projector"].fc0.weight.mul_(2)
        two_views, _ = make_model("sbcl/sbcl_r32_digits.py")
        plain, _ = make_model("ce/ce_r32_digits.py")
        for model, length in ((momentum, 32), (two_views, 128)):
            assert has_projections(model)
            found = sphere_features(model, images)
            assert torch.equal(found, model.extract_projections(images)) and found.shape == (4, length)
            torch.testing.assert_close(found.norm(dim=1), torch.ones(4))
        assert not has_projections(plain)
        pooled = plain.backbone(images)[-1].mean(dim=(2, 3))
        torch.testing.assert_close(sphere_features(plain, images), F.normalize(pooled, dim=1))
        experts, _ = make_model("ride/ride_r32_digits.py")
        assert sphere_features(experts, images).shape[0] == 4


def test_pairs_are_the_views_of_training() -> None:
    """They follow from the image alone, whatever the random state and the workers, and differ from each other."""
    for config in ("paco/paco_r32_digits.py", "ce/ce_r32_digits.py"):  # MultiView, and transforms of one view
        cfg = load_config(str(ROOT / "configs" / config), stage=1)
        pipeline = loader_pipeline(cfg.train_dataloader)
        assert pipeline is not None
        augmented = replace_pipeline(build_plain_dataset(cfg, "val"), pipeline)
        pairs = ViewPairs(augmented, 0, slice(-2, None))
        assert len(pairs) == 500
        first = [pairs[index]["inputs"] for index in (3, 9)]
        torch.manual_seed(5)
        again = [pairs[index]["inputs"] for index in (9, 3)]
        for views, others in zip(first, reversed(again), strict=True):
            assert len(views) == 2 and all(map(torch.equal, views, others))
            assert not torch.equal(views[0], views[1])
        other_draw = ViewPairs(augmented, 1, slice(-2, None))
        assert any(not torch.equal(other_draw[3]["inputs"][k], first[0][k]) for k in range(2))


class ThreeViews:
    """Item 0 has three views."""

    def __getitem__(self, index: int) -> dict[str, list[Tensor]]:
        return {"inputs": [torch.full((1,), float(view)) for view in range(3)]}


def test_which_two_of_several_views() -> None:
    dataset: Any = ThreeViews()
    assert [float(view) for view in ViewPairs(dataset, 0, slice(-2, None))[0]["inputs"]] == [1, 2]
    assert [float(view) for view in ViewPairs(dataset, 0, slice(2))[0]["inputs"]] == [0, 1]


@torch.no_grad()
def test_measured_model() -> None:
    """The numbers are those of features and views that are computed image by image."""
    model, cfg = make_model("paco/paco_r32_digits.py")
    dataset = build_plain_dataset(cfg, "val")
    found = measure_geometry(model, dataset, cfg, max_images=40, seed=3, batch_size=16)
    labels = torch.from_numpy(get_labels(dataset))
    chosen = draw_images(labels, 40, 3)
    assert found.num_images == len(chosen) == 40 and found.is_projected
    pipeline = loader_pipeline(cfg.train_dataloader)
    assert pipeline is not None
    pairs = ViewPairs(replace_pipeline(dataset, pipeline), 3, slice(-2, None))

    def project(image: Tensor) -> Tensor:
        inputs = model.data_preprocessor({"inputs": image[None], "data_samples": None}, training=False)["inputs"]
        return model.extract_projections(inputs)[0]

    features = torch.stack([project(dataset[int(place)]["inputs"]) for place in chosen])
    stretch = torch.stack(
        [(project(a) - project(b)).square().sum() for a, b in (pairs[int(place)]["inputs"] for place in chosen)]
    )
    expected = describe_features(features, stretch, labels[chosen], model.class_distribution.groups)
    for name, values in expected.numbers.items():
        assert found.numbers[name] == pytest.approx(values, rel=1e-3, abs=1e-5)
        assert [*values] == ["all", "many", "medium", "few"]
    torch.testing.assert_close(found.directions, expected.directions, rtol=1e-3, atol=1e-4)


def test_two_processes_measure_the_same(tmp_path: Path) -> None:
    alone = measure("paco/paco_r32_digits.py", 20, batch_size=20)
    both = run_gloo(measure_numbers, folder=tmp_path)
    assert both[0] == both[1]
    for name, values in alone.numbers.items():
        assert both[0][name] == pytest.approx(values, rel=1e-3, abs=1e-5)


def measure_numbers() -> dict[str, dict[str, float]]:
    return measure("paco/paco_r32_digits.py", 20, batch_size=10).numbers


def test_what_cannot_be_measured() -> None:
    model, cfg = make_model("ce/ce_r32_digits.py")
    dataset = build_plain_dataset(cfg, "val")
    without = Config({**cfg.to_dict(), "train_dataloader": None})
    with pytest.raises(
        UserInputError, match=r"has no transforms in train_dataloader.dataset, which make the two views"
    ):
        measure_geometry(model, dataset, without, max_images=10)
    model.class_distribution = ClassDistribution(10)
    with pytest.raises(UserInputError, match=r"has no class counts .* train with ClassDistributionHook"):
        measure_geometry(model, dataset, cfg, max_images=10)
