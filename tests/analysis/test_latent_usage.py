from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lt_plugins.analysis.best_locations import Location
from lt_plugins.analysis.latent_gallery import LatentGallery
from lt_plugins.analysis.latent_usage import (
    effective_number,
    least_effective_number,
    measure_latents,
    require_latents,
    view_images,
)
from lt_plugins.analysis.trained_model import build_plain_dataset
from lt_plugins.datasets.labels import get_labels
from lt_plugins.datasets.long_tail_dataset import LongTailDataset
from lt_plugins.errors import UserInputError
from lt_plugins.models.build import build_model
from lt_plugins.runs.config import load_config
from tests.tool_process import ROOT

M = 7
STAGES = {"ImageClassifier": "lcreg_r32_digits.py:stage1", "FrozenBackboneClassifier": "lcreg_r32_digits.py"}


@pytest.fixture(scope="module")
def dataset() -> LongTailDataset:
    """Digits, 12 zeros down to 2 nines; fives are left out."""
    cfg = load_config(str(ROOT / "configs/lcreg/lcreg_r32_digits.py"))
    cfg.train_dataloader.dataset.update(max_count=12, imbalance_factor=6)
    dataset = build_plain_dataset(cfg, "train")
    return dataset.get_subset(np.flatnonzero(get_labels(dataset) != 5).tolist())


def _model(stage: str) -> Any:
    """Random weights; latent features are long enough for similarities all over the range."""
    cfg = load_config(str(ROOT / "configs/lcreg" / STAGES[stage]))
    cfg.model.backbone.depth = 20
    cfg.model.head.num_latents = M
    torch.manual_seed(0)
    model: Any = build_model(cfg)
    with torch.no_grad():
        model.head.latent_pool.latents.mul_(12)
    return model


@pytest.fixture(scope="module")
def model() -> Any:
    return _model("ImageClassifier")


class Reference(NamedTuple):
    """Similarities and weights of all locations of all images, ``(N, 64, M)``: what the pass must do without."""

    similarity: np.ndarray
    weights: np.ndarray
    labels: np.ndarray


@pytest.fixture(scope="module")
def reference(model: Any, dataset: LongTailDataset) -> Reference:
    """Eq. 1 and 2 location by location, in float64."""
    model.eval()
    pool = model.head.latent_pool
    with torch.no_grad():
        encoded = (pool.latents.double() @ pool.encoder.weight.double().T + pool.encoder.bias.double()).numpy()
        maps = [
            model.backbone(model.data_preprocessor({"inputs": [dataset[index]["inputs"]]})["inputs"])[-1][0]
            for index in range(len(dataset))
        ]
    similarity = np.empty((len(maps), 64, M))
    for image, found in enumerate(maps):
        for row in range(8):
            for column in range(8):
                feature = found[:, row, column].double().numpy()
                similarity[image, 8 * row + column] = [1 / (1 + math.exp(-float(feature @ one))) for one in encoded]
    powers = np.exp(similarity)
    return Reference(similarity, powers / powers.sum(axis=2, keepdims=True), get_labels(dataset))


def test_similarities_are_spread(reference: Reference) -> None:
    """Else the tests below would not see an error."""
    assert reference.similarity.min() < 0.2 and reference.similarity.max() > 0.8
    assert np.ptp(M * reference.weights.mean(axis=1), axis=0).min() > 0.02


def test_usage_equals_loops_over_all_locations(model: Any, dataset: LongTailDataset, reference: Reference) -> None:
    measured = measure_latents(model, dataset, 3, batch_size=16)
    by_class = []
    for label in range(10):
        own = [reference.weights[image] for image in range(len(dataset)) if reference.labels[image] == label]
        by_class.append(sum(image.mean(axis=0) for image in own) / len(own) if own else np.full(M, np.nan))
    assert measured.grid == (8, 8)
    np.testing.assert_allclose(measured.class_usage, np.array(by_class), rtol=1e-5)
    assert measured.class_usage[5].isnan().all()
    np.testing.assert_allclose(measured.usage, np.nanmean(by_class, axis=0), rtol=1e-5)
    numbers = [math.exp(-sum(w * math.log(w) for w in location)) for image in reference.weights for location in image]
    assert measured.local_number == pytest.approx(sum(numbers) / len(numbers), rel=1e-5)
    assert measured.similarity_range == pytest.approx(
        (reference.similarity.min(), reference.similarity.max()), rel=1e-4
    )


@pytest.mark.parametrize("max_per_class", [1, None])
def test_locations_are_the_images_that_use_it_most(
    model: Any, dataset: LongTailDataset, reference: Reference, max_per_class: int | None
) -> None:
    measured = measure_latents(model, dataset, 4, max_per_class=max_per_class, batch_size=16)
    assert len(measured.locations) == M
    for latent, locations in enumerate(measured.locations):
        weights = M * reference.weights[:, :, latent].mean(axis=1)
        taken: list[int] = []
        for image in np.argsort(-weights):
            of_class = sum(reference.labels[other] == reference.labels[image] for other in taken)
            if len(taken) < 4 and of_class < (max_per_class or 4):
                taken.append(int(image))
        assert [location.sample for location in locations] == taken
        for location in locations:
            assert location.score == pytest.approx(weights[location.sample], rel=1e-5)
            similarity = reference.similarity[location.sample, :, latent]
            assert similarity[8 * location.row + location.column] == pytest.approx(similarity.max(), rel=1e-5)


def test_a_single_image(model: Any, dataset: LongTailDataset, reference: Reference) -> None:
    found = view_images(model, {"inputs": [dataset[7]["inputs"], dataset[2]["inputs"]]})
    assert found.weights.shape == (2, M) and found.similarity.shape == (2, M, 8, 8)
    np.testing.assert_allclose(found.weights, reference.weights[[7, 2]].mean(axis=1), rtol=1e-5)
    maps = reference.similarity[[7, 2]].transpose(0, 2, 1).reshape(2, M, 8, 8)
    np.testing.assert_allclose(found.similarity, maps, atol=1e-5)


def test_both_stages_see_the_same(model: Any, dataset: LongTailDataset) -> None:
    second = _model("FrozenBackboneClassifier")
    assert [type(stage).__name__ for stage in (model, second)] == list(STAGES)
    second.backbone.load_state_dict(model.backbone.state_dict())
    second.head.latent_pool.load_state_dict(model.head.latent_pool.state_dict())
    first, again = (measure_latents(stage, dataset, 2, batch_size=32) for stage in (model, second))
    assert first.locations == again.locations
    torch.testing.assert_close(first.class_usage, again.class_usage, rtol=0, atol=0, equal_nan=True)


def test_pass_leaves_model_and_random_state_alone(model: Any, dataset: LongTailDataset) -> None:
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    torch.manual_seed(5)
    measure_latents(model, dataset, 4, batch_size=32)
    drawn = torch.rand(1)
    assert model.training
    model.eval()
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))


def test_what_cannot_be_measured(model: Any, dataset: LongTailDataset) -> None:
    other: Any = torch.nn.Module()
    other.head = torch.nn.Linear(2, 2)
    with pytest.raises(UserInputError, match="has a Linear as head, which learns no latent categories"):
        measure_latents(other, dataset)
    with pytest.raises(UserInputError, match="has a NoneType as head"):
        require_latents(torch.nn.Identity())
    for options in ({"top": 0}, {"top": 3, "max_per_class": 0}):
        with pytest.raises(UserInputError, match="must be positive"):
            measure_latents(model, dataset, **options)


def test_effective_number() -> None:
    usage = torch.tensor([[0.25] * 4, [0.5, 0.5, 0, 0], [1, 0, 0, 0]])
    torch.testing.assert_close(effective_number(usage), torch.tensor([4.0, 2.0, 1.0]))


@given(
    similarity=st.lists(st.floats(0, 1), min_size=1, max_size=30),
    temperature=st.sampled_from([0.01, 0.1, 0.5, 1.0, 3.0]),
)
def test_least_effective_number_is_a_bound(similarity: list[float], temperature: float) -> None:
    weights = (torch.tensor(similarity, dtype=torch.float64) / temperature).softmax(dim=0)
    assert float(effective_number(weights)) >= least_effective_number(len(similarity), temperature) - 1e-9


@pytest.mark.parametrize("temperature", [0.2, 1.0, 3.0])
def test_least_effective_number_is_reached(temperature: float) -> None:
    """By the best number of similarities of 1 among those of 0."""
    similarity = torch.tril(torch.ones(1000, 1000, dtype=torch.float64))
    least = float(effective_number((similarity / temperature).softmax(dim=1)).min())
    assert least == pytest.approx(least_effective_number(1000, temperature), rel=1e-3)
    assert least_effective_number(40, 1e-4) == 1


@pytest.fixture(scope="module")
def gallery(model: Any, dataset: LongTailDataset) -> LatentGallery:
    model.eval()
    return LatentGallery(model, dataset, measure_latents(model, dataset, 4, max_per_class=1, batch_size=32))


def test_gallery_row_of_a_sample(gallery: LatentGallery, dataset: LongTailDataset, reference: Reference) -> None:
    row = gallery.sample_row(9, num_latents=2)
    assert (row.title, row.group) == (str(reference.labels[9]), None)
    np.testing.assert_array_equal(row.image, dataset[9]["inputs"].numpy().transpose(1, 2, 0)[..., ::-1])
    weights = M * reference.weights[9].mean(axis=0)
    np.testing.assert_allclose(row.weights, weights, rtol=1e-5)
    assert list(row.maps) == np.argsort(gallery.relative_usage - weights)[:2].tolist()
    for latent, found in row.maps.items():
        np.testing.assert_allclose(found.reshape(64), reference.similarity[9, :, latent], atol=1e-5)


def test_gallery_row_of_a_latent_category(gallery: LatentGallery, reference: Reference) -> None:
    row = gallery.latent_row(3, num_images=2)
    locations: list[Location] = gallery.measured.locations[3][:2]
    assert row.title == f"latent 3\nmean {gallery.relative_usage[3]:.2f}" and len(row.images) == 2
    for marked, location in zip(row.images, locations, strict=True):
        assert (marked.location, marked.score, marked.grid) == ((location.row, location.column), location.score, (8, 8))
        assert marked.title == str(reference.labels[location.sample])


def test_gallery_spread_and_samples(gallery: LatentGallery, reference: Reference) -> None:
    usage = [M * reference.weights[reference.labels == label].mean(axis=(0, 1)) for label in range(10) if label != 5]
    spread = np.max(usage, axis=0) - np.min(usage, axis=0)
    np.testing.assert_allclose(gallery.spread, spread, rtol=1e-3)
    assert gallery.most_spread(3) == np.argsort(-spread)[:3].tolist()
    assert gallery.class_samples(0, 2) == np.flatnonzero(reference.labels == 0)[:2].tolist()
    assert gallery.class_samples(5, 2) == []
    sizes = np.bincount(reference.labels, minlength=10)
    assert gallery.class_sizes.tolist() == sizes.tolist()
    assert sizes[gallery.largest_first()].tolist() == sorted(sizes, reverse=True)
