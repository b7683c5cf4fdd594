from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lt_plugins.analysis.attribute_gallery import AttributeGallery
from lt_plugins.analysis.attribute_retrieval import AttributeRetrieval, locate_attributes, retrieve_attributes
from lt_plugins.analysis.best_locations import BestLocations, Location
from lt_plugins.analysis.gallery import to_picture
from lt_plugins.analysis.trained_model import build_plain_dataset
from lt_plugins.datasets.labels import get_labels
from lt_plugins.datasets.long_tail_dataset import LongTailDataset
from lt_plugins.engine.features import gather_features
from lt_plugins.errors import UserInputError
from lt_plugins.models.build import build_model
from lt_plugins.runs.config import load_config
from tests.tool_process import ROOT

K = 12


@pytest.fixture(scope="module")
def dataset() -> LongTailDataset:
    """Digits, 20 zeros down to 2 nines."""
    cfg = load_config(str(ROOT / "configs/lpa/lpa_r32_digits.py"))
    cfg.train_dataloader.dataset.update(max_count=20, imbalance_factor=10)
    return build_plain_dataset(cfg, "train")


def _model(config: str = "lpa/lpa_r32_digits.py") -> Any:
    cfg = load_config(str(ROOT / "configs" / config))
    cfg.model.backbone.depth = 20
    if cfg.model.head.type == "LPAHead":
        cfg.model.head.num_attributes = K
    torch.manual_seed(0)
    return build_model(cfg)


@pytest.fixture(scope="module")
def model(dataset: LongTailDataset) -> Any:
    """Random weights and random directions as attributes; class 4 has none."""
    model = _model()
    generator = torch.Generator().manual_seed(1)
    class_attributes = torch.randn(10, K, generator=generator)
    class_attributes[4] = 0
    prototypes = torch.nn.functional.normalize(torch.randn(K, 64, generator=generator), dim=1)
    model.head.set_attributes(prototypes, class_attributes)
    return model


@pytest.fixture(scope="module")
def all_scores(model: Any, dataset: LongTailDataset) -> torch.Tensor:
    """Scores of all locations of all images ``(N, 64, K)``: what the retrieval must do without."""
    model.eval()

    def extract(batch: dict) -> torch.Tensor:
        local = model.extract_local_features(model.data_preprocessor(batch, training=False)["inputs"])
        return model.head.attribute_scores(local)

    return gather_features(extract, dataset, batch_size=16)


def _reference(
    all_scores: torch.Tensor, labels: np.ndarray, attribute: int, top: int, max_per_class: int
) -> list[Location]:
    """Sort everything and take it if its image and class are not used up."""
    everything = [
        (-score, sample, location)
        for sample, image_scores in enumerate(all_scores[:, :, attribute].tolist())
        for location, score in enumerate(image_scores)
    ]
    taken: list[Location] = []
    for score, sample, location in sorted(everything):
        of_class = sum(labels[other.sample] == labels[sample] for other in taken)
        if len(taken) < top and of_class < max_per_class and sample not in {other.sample for other in taken}:
            taken.append(Location(-score, sample, location // 8, location % 8))
    return taken


@pytest.mark.parametrize("max_per_class", [1, 2, None])
def test_retrieval_equals_a_search_in_all_features(
    model: Any, dataset: LongTailDataset, all_scores: torch.Tensor, max_per_class: int | None
) -> None:
    retrieval = retrieve_attributes(model, dataset, 6, max_per_class=max_per_class, batch_size=16)
    labels = get_labels(dataset)
    assert retrieval.grid == (8, 8)
    assert len(retrieval.attribute_locations) == K
    for attribute, locations in enumerate(retrieval.attribute_locations):
        assert locations == _reference(all_scores, labels, attribute, 6, max_per_class or 6)
    by_class = torch.stack([all_scores[labels == label].mean(dim=(0, 1)) for label in range(10)])
    torch.testing.assert_close(retrieval.common_scores, by_class.mean(dim=0))
    torch.testing.assert_close(retrieval.class_scores, by_class - by_class.mean(dim=0), atol=1e-6, rtol=1e-4)


def test_class_locations_are_the_best_of_the_class(
    model: Any, dataset: LongTailDataset, all_scores: torch.Tensor
) -> None:
    retrieval = retrieve_attributes(model, dataset, 1, batch_size=16)
    labels = get_labels(dataset)
    described = {(label, k) for label, k in model.head.attribute_labels.nonzero().tolist()}
    assert retrieval.class_locations.keys() == described
    assert len(described) == 9 * model.head.attributes_per_class
    for (label, attribute), location in retrieval.class_locations.items():
        assert labels[location.sample] == label
        best = all_scores[labels == label][:, :, attribute].max()
        assert location.score == best == all_scores[location.sample, location.row * 8 + location.column, attribute]


def test_retrieval_is_deterministic_and_leaves_model_and_random_state_alone(
    model: Any, dataset: LongTailDataset
) -> None:
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    torch.manual_seed(5)
    first = retrieve_attributes(model, dataset, 4, batch_size=16)
    drawn = torch.rand(1)
    again = retrieve_attributes(model, dataset, 4, batch_size=16)
    assert model.training
    model.eval()
    assert first.attribute_locations == again.attribute_locations
    assert first.class_locations == again.class_locations
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))


def test_more_asked_for_than_there_is(model: Any, dataset: LongTailDataset) -> None:
    retrieval = retrieve_attributes(model, dataset, 1000, batch_size=64)
    for locations in retrieval.attribute_locations:
        assert sorted(location.sample for location in locations) == list(range(len(dataset)))
        assert [location.score for location in locations] == sorted(
            (location.score for location in locations), reverse=True
        )


@given(
    entries=st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.9]), st.integers(0, 3)), max_size=25),
    order=st.randoms(use_true_random=False),
    size=st.integers(1, 6),
    max_per_class=st.none() | st.integers(1, 3),
)
def test_best_locations_are_the_greedy_choice_in_any_order(
    entries: list[tuple[float, int]], order: Any, size: int, max_per_class: int | None
) -> None:
    locations = [(Location(score, sample, 0, 0), label) for sample, (score, label) in enumerate(entries)]
    expected: list[tuple[Location, int]] = []
    for location, label in sorted(locations, key=lambda entry: (-entry[0].score, entry[0].sample)):
        of_class = sum(other == label for _, other in expected)
        if len(expected) < size and of_class < (max_per_class or size):
            expected.append((location, label))
    best = BestLocations(size, max_per_class)
    order.shuffle(locations)
    for location, label in locations:
        if location.score >= best.bar:
            best.add(location, label)
    assert best.locations == [location for location, _ in expected]


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        ("paco/paco_r32_digits.py", {}, "MomentumClassifier with PaCoHead, has no pseudo-attributes"),
        ("lpa/lpa_r32_digits.py", {}, "has no pseudo-attributes yet"),
    ],
)
def test_models_without_attributes_are_refused(
    dataset: LongTailDataset, config: str, options: dict, message: str
) -> None:
    with pytest.raises(UserInputError, match=message):
        retrieve_attributes(_model(config), dataset, **options)


@pytest.mark.parametrize("options", [{"top": 0}, {"top": 3, "max_per_class": 0}])
def test_nothing_asked_for_is_refused(model: Any, dataset: LongTailDataset, options: dict) -> None:
    with pytest.raises(UserInputError, match="must be positive"):
        retrieve_attributes(model, dataset, **options)


@pytest.fixture(scope="module")
def gallery(model: Any, dataset: LongTailDataset) -> AttributeGallery:
    distribution = model.head.loss_module.class_distribution
    distribution.set_counts([150, 20, 19, 18, 17, 16, 15, 14, 13, 2])
    return AttributeGallery(model, dataset, retrieve_attributes(model, dataset, 4, max_per_class=1, batch_size=16))


def test_gallery_rows_show_the_retrieved_locations(gallery: AttributeGallery, dataset: LongTailDataset) -> None:
    labels = get_labels(dataset)
    row = gallery.attribute_row(3, num_images=2)
    locations = gallery.retrieval.attribute_locations[3][:2]
    shared = int(gallery.attributes.attribute_labels[:, 3].sum())
    assert row.title == f"attribute 3\n{shared} classes" and row.query is None and len(row.images) == 2
    for marked, location in zip(row.images, locations, strict=True):
        assert (marked.location, marked.score, marked.grid) == ((location.row, location.column), location.score, (8, 8))
        assert marked.title.startswith(f"{labels[location.sample]}\n")
        np.testing.assert_array_equal(marked.image, dataset[location.sample]["inputs"].numpy().transpose(1, 2, 0))


def test_gallery_groups_and_titles(gallery: AttributeGallery) -> None:
    assert [gallery.group(label) for label in (0, 1, 2, 9)] == ["many", "medium", "few", "few"]
    assert gallery.class_title(0) == "0\n150 images"
    assert gallery.largest_first() == list(range(10))


def test_gallery_class_rows(gallery: AttributeGallery) -> None:
    strongest = gallery.strongest_attributes(9)
    scores = gallery.attributes.class_attributes[9]
    assert strongest == scores.argsort(descending=True)[: gallery.attributes.attributes_per_class].tolist()
    rows = gallery.class_rows(9, num_attributes=3, num_images=3)
    assert [row.title.splitlines()[0] for row in rows] == [f"attribute {k}" for k in strongest[:3]]
    for attribute, row in zip(strongest, rows, strict=False):
        query = gallery.retrieval.class_locations[9, attribute]
        assert row.query is not None and row.query.location == (query.row, query.column) and row.query.group == "few"
        assert len(row.images) == 3
        assert not any(np.array_equal(marked.image, row.query.image) for marked in row.images)
    own = gallery.own_row(9)
    assert own.title == "9\n2 images"
    assert [marked.title for marked in own.images] == [f"attribute {k}" for k in strongest]
    assert gallery.class_rows(4, 3, 3) == [] and gallery.own_row(4).images == []


def test_gallery_most_shared_attributes(gallery: AttributeGallery) -> None:
    shared = gallery.most_shared_attributes(K)
    num_classes = gallery.attributes.attribute_labels.sum(dim=0)
    assert sorted(shared) == num_classes.nonzero().flatten().tolist()
    assert [int(num_classes[k]) for k in shared] == sorted((int(num_classes[k]) for k in shared), reverse=True)
    assert gallery.most_shared_attributes(2) == shared[:2]


def test_gallery_image_rows_leave_out_what_is_common(
    gallery: AttributeGallery, model: Any, dataset: LongTailDataset, all_scores: torch.Tensor
) -> None:
    inputs = dataset[7]["inputs"]
    located = locate_attributes(model, {"inputs": [inputs]})
    rows = gallery.image_rows(inputs, located, "seven.png", num_attributes=2, num_images=3)
    excess = all_scores[7].mean(dim=0) - gallery.retrieval.common_scores
    strongest = excess.argsort(descending=True)[:2].tolist()
    assert [row.title.splitlines()[0] for row in rows] == [f"attribute {k}" for k in strongest]
    for attribute, row in zip(strongest, rows, strict=True):
        assert row.query is not None and row.query.title == "seven.png" and len(row.images) == 3
        assert row.query.location is not None
        cell = row.query.location[0] * 8 + row.query.location[1]
        assert row.query.score == pytest.approx(float(all_scores[7, cell, attribute]), abs=1e-5)
        assert row.query.score == pytest.approx(float(all_scores[7, :, attribute].max()), abs=1e-5)


def test_gallery_without_class_counts(model: Any, dataset: LongTailDataset) -> None:
    fresh = _model()
    fresh.head.set_attributes(model.head.prototypes, model.head.class_attributes)
    gallery = AttributeGallery(fresh, dataset, AttributeRetrieval((8, 8), [], {}, torch.zeros(K), torch.zeros(10, K)))
    assert gallery.group(0) is None
    assert gallery.class_title(0) == "0"
    sizes = np.bincount(get_labels(dataset))
    assert list(sizes[gallery.largest_first()]) == sorted(sizes, reverse=True)


def test_picture_is_rgb() -> None:
    inputs = torch.zeros(3, 2, 4, dtype=torch.uint8)
    inputs[0] = 200  # blue
    picture = to_picture(inputs)
    assert picture.shape == (2, 4, 3) and picture.dtype == np.uint8
    assert (picture == (0, 0, 200)).all()
    with pytest.raises(UserInputError, match=r"gives torch.float32 of shape \(3, 2, 4\), .* normalise in"):
        to_picture(inputs.float())
