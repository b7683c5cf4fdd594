from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.functional import class_accuracy
from lt_plugins.evaluation.glt_counts import GLTCounts, glt_accuracy

from .glt_samples import ATTRIBUTES, CLASS_GROUP, CLASSES, GLTSet, make_glt_set, reference_numbers

INTERVAL = ("worst_cell_low", "worst_cell_high")


def count(data: GLTSet) -> GLTCounts:
    return GLTCounts.from_predictions(data.label, data.predicted, data.attribute, CLASSES, ATTRIBUTES)


def measure(data: GLTSet, min_images: int = 10) -> dict[str, float]:
    return count(data).numbers(np.array(CLASS_GROUP), min_images)


def test_numbers_are_those_of_the_loops() -> None:
    data = make_glt_set(500)
    found = measure(data)
    assert set(found) == {
        *("accuracy", "precision", "f1", "worst_cell", "worst_cell_low", "worst_cell_high", "lowest_tenth"),
        *(f"{name}_{group}" for name in ("accuracy", "precision") for group in ("many", "medium", "few")),
        *(f"{name}_attribute{a}" for name in ("accuracy", "precision") for a in range(ATTRIBUTES)),
    }
    assert all(type(value) is float for value in found.values())
    expected = reference_numbers(data)
    assert {name: value for name, value in found.items() if name not in INTERVAL} == pytest.approx(expected, rel=1e-12)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_small_test_sets(data: st.DataObject) -> None:
    """Few images leave classes, groups, attributes and predictions out."""
    size = data.draw(st.integers(1, 25))
    ranges = [st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1), st.integers(-1, ATTRIBUTES - 1)]
    draw = [data.draw(st.lists(values, min_size=size, max_size=size)) for values in ranges]
    given_set, least = GLTSet(*draw), data.draw(st.integers(1, 4))
    found = measure(given_set, least)
    expected = reference_numbers(given_set, least)
    assert {name: value for name, value in found.items() if name not in INTERVAL} == pytest.approx(expected, abs=1e-9)
    if "worst_cell" in found:
        assert 0 <= found["worst_cell_low"] <= found["worst_cell"] <= found["worst_cell_high"] <= 100
        assert found["worst_cell"] <= found["lowest_tenth"]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_properties(seed: int) -> None:
    data = make_glt_set(300, seed)
    counts = count(data)
    order = np.random.default_rng(seed).permutation(300)
    assert measure(GLTSet(*(np.array(values)[order].tolist() for values in data))) == measure(data)
    # Class groups share the denominators, so that the precision of all classes is the mean of theirs.
    sizes = [CLASS_GROUP.count(number) for number in (0, 1, 2, -1)]
    groups = [counts.precision(np.array(CLASS_GROUP) == number) for number in (0, 1, 2, -1)]
    assert np.average(groups, weights=sizes) == pytest.approx(counts.precision())
    # One attribute for all images: its numbers are those of the test set.
    alike = count(data._replace(attribute=[0] * 300))
    assert (alike.accuracy(attribute=0), alike.precision(attribute=0)) == (alike.accuracy(), alike.precision())
    # With as many images of each class, accuracy is the mean of the accuracies of the classes.
    even = make_glt_set(50 * CLASSES, seed)._replace(label=[*range(CLASSES)] * 50)
    assert count(even).accuracy() == pytest.approx(
        class_accuracy(np.array(even.label) == even.predicted, even.label, CLASSES).mean()
    )


def test_perfect_and_hopeless_predictions() -> None:
    label, attribute = [*range(CLASSES)] * 30, [0] * 110 + [1] * 60 + [2] * 40
    perfect = measure(GLTSet(label, label, attribute))
    assert set(perfect.values()) == {100.0}
    wrong = measure(GLTSet(label, [(c + 1) % CLASSES for c in label], attribute))
    assert set(wrong.values()) == {0.0}


def test_a_class_that_is_never_predicted_counts_as_nothing() -> None:
    found = measure(GLTSet([0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]))
    assert found["accuracy"] == 50.0
    assert found["precision"] == 25.0  # (2 / 4 + 0) / 2


def test_class_groups_keep_the_denominators_and_attributes_do_not() -> None:
    # Class 4 (few) is predicted for an image of class 0 (many) with another attribute.
    data = GLTSet(label=[4, 0, 0], predicted=[4, 4, 0], attribute=[0, 1, 0])
    found = measure(data)
    assert found["precision_few"] == 50.0
    assert found["precision_attribute0"] == 100.0
    assert found["precision_attribute1"] == 0.0
    assert found["accuracy_few"] == 100.0


def test_interval_is_what_resampling_the_images_gives() -> None:
    data = make_glt_set(600, seed=3)
    worst = count(data).worst_cell()
    assert worst is not None
    hits = [
        label == predicted
        for label, predicted, attribute in zip(*data, strict=True)
        if (label, attribute) == (worst.label, worst.attribute)
    ]
    assert len(hits) == worst.images >= 10
    assert 100 * np.mean(hits) == pytest.approx(worst.accuracy)
    rng = np.random.default_rng(0)
    resampled = 100 * rng.choice(hits, size=(40_000, len(hits))).mean(axis=1)
    step = 100 / len(hits) + 1e-9  # percentiles of a sample may be one image off
    assert np.percentile(resampled, [2.5, 97.5]) == pytest.approx([worst.low, worst.high], abs=step)
    assert worst.low < worst.accuracy < worst.high


def test_images_without_an_attribute_are_in_no_cell() -> None:
    counts = GLTCounts.from_predictions([0] * 40, [0] * 20 + [1] * 20, [0] * 20 + [-1] * 20, 2, 2)
    found = counts.numbers(min_images=1)
    assert (found["accuracy"], found["accuracy_attribute0"], found["worst_cell"]) == (50.0, 100.0, 100.0)
    assert "accuracy_attribute1" not in found
    assert "worst_cell" not in GLTCounts.from_predictions([0], [0], [-1], 2, 2).numbers(min_images=1)
    assert glt_accuracy([0, 1], [0, 0], [-1, -1], 2) == {"accuracy": 50.0, "precision": 100.0, "f1": 200 / 3}


def test_worst_cells_have_enough_images() -> None:
    label, attribute = [0] * 12 + [1] * 9, [1] * 12 + [2] * 9
    predicted = [0] * 6 + [1] * 15
    counts = GLTCounts.from_predictions(label, [p if c == 0 else 0 for c, p in zip(label, predicted, strict=True)],
                                        attribute, CLASSES, ATTRIBUTES)  # fmt: skip
    worst = counts.worst_cell()
    assert worst is not None
    assert worst[:4] == (0, 1, 12, 50.0)
    unlimited = counts.worst_cell(min_images=1)
    assert unlimited is not None
    assert unlimited[:4] == (1, 2, 9, 0.0)
    assert counts.worst_cell(min_images=13) is None
    assert "worst_cell" not in counts.numbers(min_images=13)
    assert np.isnan(counts.lowest_tenth(min_images=13))


def test_lowest_tenth_rounds_up() -> None:
    # 11 cells of one image each: a tenth is two of them.
    label = [*range(11)]
    found = GLTCounts.from_predictions(label, [0, 1, *[0] * 9], [0] * 11, 11, 1)
    assert found.lowest_tenth(min_images=1) == 0.0
    found = GLTCounts.from_predictions(label, [1, *label[1:]], [0] * 11, 11, 1)
    assert found.lowest_tenth(min_images=1) == 50.0


def test_many_attributes_have_no_numbers_of_their_own() -> None:
    label = [*range(4)] * 11
    attribute = [number // 4 for number in range(44)]
    found = GLTCounts.from_predictions(label, label, attribute, 4, 11).numbers(min_images=1)
    assert "worst_cell" in found
    assert not any("attribute" in name for name in found)


def test_function_takes_tensors() -> None:
    data = make_glt_set(200)
    predicted, label, attribute = (torch.tensor(values) for values in (data.predicted, data.label, data.attribute))
    found = glt_accuracy(predicted, label, attribute, CLASSES, torch.tensor(CLASS_GROUP), min_images=5)
    assert found == measure(data, 5)
    assert "accuracy_many" not in glt_accuracy(predicted, label, attribute, CLASSES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 6], [0, 1], [0, 0], 6), r"predicted 0\.\.6 must be from 0 to 5"),
        (([0, 1], [0, -1], [0, 0], 6), r"labels -1\.\.0 must be from 0 to 5"),
        (([0, 1], [0, 1], [0, -2], 6), r"attributes -2\.\.0 must be from -1 to 0"),
        (([0, 1], [0, 1], [0], 6), "2 labels, 2 predictions and 1 attributes"),
        (([], [], [], 6), "must be integers"),
        (([0.5, 1], [0, 1], [0, 0], 6), r"predicted of shape \(2,\) \(float64\) must be integers"),
        (([0, 1], [0, 1], [0, 0], 6, [0, 1]), "class_group has 2 entries for 6 classes"),
        (([0, 1], [0, 1], [0, 0], 2, [0, 3]), r"class_group 0\.\.3 must be from -1 to 2"),
    ],
)
def test_refuses_what_does_not_fit(arguments: tuple, message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        glt_accuracy(*arguments)
