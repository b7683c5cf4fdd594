from __future__ import annotations

import hashlib
import math
import pickle
import tarfile
from typing import Any

import numpy as np
import pytest

from lt_plugins.datasets.labels import get_class_counts, get_labels
from lt_plugins.datasets.leaf_table import find_parts
from lt_plugins.datasets.long_tail_dataset import LongTailDataset
from lt_plugins.errors import UserInputError
from tests.conftest import REAL_DATA
from tests.datasets.arrays import ArrayDataset, identity


class LabelsOnly(ArrayDataset):
    """As many labels as CIFAR has, without images."""

    def load_data_list(self) -> list[dict]:
        return [{"gt_label": int(label)} for label in self.labels]

    def get_gt_labels(self) -> np.ndarray:
        return np.asarray(self.labels)


def _shuffled(num_classes: int, per_class: int) -> np.ndarray:
    """Labels in the random order that CIFAR has them in."""
    return np.random.RandomState(7).permutation(np.repeat(np.arange(num_classes), per_class))


def _released_generator(
    targets: np.ndarray, max_count: float, mu: float, seed: int, reverse: bool = False
) -> list[int]:
    """What the field's generator does, as an independent program with numpy's global state, which is put back."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    classes = np.unique(targets)
    picked: list[int] = []
    for k, label in enumerate(classes):
        where = np.where(targets == label)[0]
        np.random.shuffle(where)  # noqa: NPY002
        rank = len(classes) - 1 - k if reverse else k
        picked += where[: int(max_count * mu ** (rank / (len(classes) - 1.0)))].tolist()
    np.random.set_state(state)  # noqa: NPY002
    return picked


@pytest.mark.parametrize(
    ("num_classes", "per_class", "factor", "mu", "seed", "checksum"),
    [
        (100, 500, 100, 0.01, 0, "1fe4a345fdc2fc88"),
        (100, 500, 50, 0.02, 0, "bfaf374c0e8bdab5"),
        (100, 500, 10, 0.1, 0, "0d5193670f7a5e2a"),
        (10, 5000, 100, 0.01, 0, "c6e68edc36609806"),
        (10, 5000, 50, 0.02, 0, "6637e8dea4ad1af2"),
        (10, 5000, 10, 0.1, 0, "8e63cbbbfe1ce97c"),
        (10, 500, 10, 0.1, 3, "902a844f1577505a"),
    ],
)
def test_draws_what_the_field_draws(
    num_classes: int, per_class: int, factor: int, mu: float, seed: int, checksum: str
) -> None:
    targets = _shuffled(num_classes, per_class)
    before = pickle.dumps(np.random.get_state())  # noqa: NPY002
    dataset = LongTailDataset(LabelsOnly(targets.tolist(), num_classes=num_classes), factor, seed=seed)
    assert pickle.dumps(np.random.get_state()) == before, "the global random state was touched"  # noqa: NPY002
    assert dataset.indices.tolist() == _released_generator(targets, float(per_class), mu, seed)
    assert hashlib.sha256(dataset.indices.astype("<i8").tobytes()).hexdigest()[:16] == checksum


@pytest.mark.parametrize(("factor", "mu"), [(2, 0.5), (5, 0.2), (10, 0.1), (25, 0.04), (50, 0.02)])
def test_shifted_test_sets_are_those_of_sade(factor: int, mu: float) -> None:
    """The test set cut by the same generator, from the first class or, reversed, from the last one down."""
    targets = _shuffled(100, 100)
    for reverse in (False, True):
        dataset = LongTailDataset(LabelsOnly(targets.tolist(), num_classes=100), factor, reverse=reverse)
        assert dataset.indices.tolist() == _released_generator(targets, 100.0, mu, 0, reverse)
        counts = dataset.class_counts.tolist()
        assert (counts[-1], counts[0]) == ((100, 100 // factor) if reverse else (100 // factor, 100))


def test_the_first_images_of_each_class_whatever_the_seed() -> None:
    """As many as of the other draw, in the order of the dataset (METHODS_BEYOND 0.2)."""
    targets = _shuffled(10, 500)
    base = LabelsOnly(targets.tolist(), num_classes=10)
    dataset = LongTailDataset(base, 10, draw="first", seed=3)
    shuffled = LongTailDataset(base, 10)
    expected = []
    for label, count in enumerate(shuffled.class_counts.tolist()):
        expected += [index for index, target in enumerate(targets) if target == label][:count]
    assert dataset.indices.tolist() == expected
    assert dataset.class_counts.tolist() == shuffled.class_counts.tolist()
    assert set(expected) != set(shuffled.indices.tolist())
    with pytest.raises(UserInputError, match="unknown draw 'last'; choose one of ldam, first, choice"):
        LongTailDataset(base, 10, draw="last")  # type: ignore[arg-type]


def test_choice_is_the_draw_of_glmc() -> None:
    """Per class in label order, without replacement, by the generator that the run has seeded."""
    targets = _shuffled(10, 500)
    base = LabelsOnly(targets.tolist(), num_classes=10)
    state = np.random.get_state()  # noqa: NPY002
    draws = []
    for seed in (3407, 1):
        np.random.seed(seed)  # noqa: NPY002
        expected: list[int] = []
        for label in range(10):
            kept = np.random.choice(500, int(500 * 0.1 ** (label / 9)), replace=False)  # noqa: NPY002
            expected += np.where(targets == label)[0][kept].tolist()
        draws.append(LongTailDataset(base, 10, draw="choice", seed=seed).indices.tolist())
        assert draws[-1] == expected
    np.random.set_state(state)  # noqa: NPY002
    assert draws[0] != draws[1]
    with pytest.raises(UserInputError, match="draws by the seed of the run; give it, like seed=0"):
        LongTailDataset(base, 10, draw="choice")


def _brute_force(sizes: list[int], factor: float) -> list[int]:
    """The largest counts by trying them all, largest first."""
    order = sorted(range(len(sizes)), key=lambda label: (-sizes[label], label))
    for largest in range(max(sizes), 0, -1):
        counts = {label: int(largest * (1 / factor) ** (k / (len(sizes) - 1))) for k, label in enumerate(order)}
        if all(counts[label] <= sizes[label] for label in counts):
            return [counts[label] for label in range(len(sizes))]
    raise AssertionError


@pytest.mark.parametrize("sizes", [[9, 57, 30, 12], [40, 40, 40], [3, 100, 5, 7, 90], [1, 2, 3]])
@pytest.mark.parametrize("factor", [1, 2, 3, 7.5, 60])
def test_classes_ranked_by_size(sizes: list[int], factor: float) -> None:
    """Classes of any sizes in any order of labels; as many images as leave every class enough."""
    base = LabelsOnly(np.repeat(np.arange(len(sizes)), sizes).tolist(), num_classes=len(sizes))
    expected = _brute_force(sizes, factor)
    if min(expected) > 0:
        assert LongTailDataset(base, factor, order="size").class_counts.tolist() == expected
        return
    with pytest.raises(UserInputError, match=f"imbalance_factor={factor:g} would leave a class without") as error:
        LongTailDataset(base, factor, order="size")
    highest = int(str(error.value).split("give at most ")[1].split(",")[0])
    LongTailDataset(base, highest, order="size")
    assert all(min(_brute_force(sizes, lower)) == 0 for lower in range(highest + 1, math.ceil(factor)))


def test_a_balanced_meta_set_is_taken_out_before() -> None:
    """10 of 500 images a class, so that the largest one has 490 (MetaSAug)."""
    base = LabelsOnly(_shuffled(10, 500).tolist(), num_classes=10)
    dataset, plain, everything = (LongTailDataset(base, f, meta_per_class=k) for f, k in ((10, 10), (10, 0), (1, 0)))
    kept, rest = find_parts(dataset)
    assert dataset.class_counts.tolist() == [int(490 * 0.1 ** (c / 9)) for c in range(10)]
    assert kept.indices.tolist() + rest.indices.tolist() == dataset.indices.tolist()
    assert rest.indices.reshape(10, 10).tolist() == everything.indices.reshape(10, 500)[:, 490:].tolist()
    assert not set(rest.indices.tolist()) & set(kept.indices.tolist())
    assert set(kept.indices.tolist()) < set(plain.indices.tolist()), "images of the field's draw"
    assert find_parts(plain) == [plain]
    with pytest.raises(UserInputError, match=r"has 490 images, the profile needs 500; lower max_count=500"):
        LongTailDataset(base, 10, max_count=500, meta_per_class=10)
    with pytest.raises(UserInputError, match="meta_per_class=-1 must be 0"):
        LongTailDataset(base, 10, meta_per_class=-1)


def test_does_not_read_the_global_random_state() -> None:
    labels = np.repeat([0, 1, 2], 20).tolist()
    draws = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002
        draws.append(LongTailDataset(ArrayDataset(labels), 4).indices.tolist())
    assert draws[0] == draws[1]
    assert LongTailDataset(ArrayDataset(labels), 4, seed=1).indices.tolist() != draws[0]


def test_samples_and_their_position() -> None:
    base = ArrayDataset(np.tile([0, 1, 2], 10).tolist(), num_classes=3)
    dataset = LongTailDataset(base, imbalance_factor=5)
    assert dataset.class_counts.tolist() == [10, 4, 2]
    assert len(dataset) == 16
    assert get_labels(dataset).tolist() == dataset.get_gt_labels().tolist() == [0] * 10 + [1] * 4 + [2] * 2
    assert get_class_counts(dataset, 3).tolist() == [10, 4, 2]
    for position, index in enumerate(dataset.indices):
        assert identity(dataset[position]) == index
        assert dataset[position]["sample_idx"] == dataset.get_data_info(position)["sample_idx"] == position
        assert dataset.get_cat_ids(position) == [dataset[position]["gt_label"]]
    assert dataset.metainfo["classes"] == ("c0", "c1", "c2")


def test_cuts_a_set_that_already_is_long_tailed() -> None:
    base = LongTailDataset(ArrayDataset(np.repeat(np.arange(5), 100).tolist()), imbalance_factor=10)
    dataset = LongTailDataset(base, imbalance_factor=100, max_count=100)
    assert dataset.class_counts.tolist() == [100, 31, 10, 3, 1]
    assert {identity(dataset[i]) for i in range(len(dataset))} <= {identity(base[i]) for i in range(len(base))}


def test_builds_a_config() -> None:
    inner = {"type": "ArrayDataset", "labels": [0, 0, 1, 1, 2, 2], "num_classes": 3}
    dataset = LongTailDataset(inner, imbalance_factor=2, profile="step")
    assert dataset.class_counts.tolist() == [2, 1, 1]


@pytest.mark.parametrize(
    ("labels", "arguments", "message"),
    [
        (
            [0, 0, 1, 1, 1, 2, 2, 2],
            {"imbalance_factor": 1},
            r"class 0 \(c0\) has 2 images, the profile needs 3; lower max_count=3",
        ),
        ([0, 0, 0, 2, 2], {"imbalance_factor": 1}, r"class 1 \(c1\) has no images"),
        ([0, 0, 1, 1, 2, 2], {"imbalance_factor": 9}, r"class 1 \(c1\) would keep no image; lower imbalance_factor"),
        ([0, 0, 2], {"imbalance_factor": 2, "order": "size"}, r"class 1 \(c1\) has no images"),
        ([0, 1, 2], {"imbalance_factor": 2, "order": "size", "reverse": True}, r"reverse=True by label; drop one"),
        ([0, 1, 2], {"imbalance_factor": 2, "order": "age"}, r"unknown order 'age'; choose one of label, size"),
        ([0, 1, 2], {"imbalance_factor": 0.5}, r"imbalance_factor=0.5 must be at least 1"),
        ([0, 1, 2], {"imbalance_factor": 1, "profile": "cosine"}, r"unknown profile 'cosine'"),
    ],
)
def test_says_what_is_wrong(labels: list[int], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        LongTailDataset(ArrayDataset(labels, num_classes=3), **arguments)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("archive", "max_count", "sizes"),
    [
        ("cifar100", 500, {100: (10847, 500, 5), 50: (12608, 500, 10), 10: (19573, 500, 50)}),
        ("cifar10", 5000, {100: (12406, 5000, 50), 50: (13996, 5000, 100)}),
    ],
)
def test_real_class_folders(archive: str, max_count: int, sizes: dict[int, tuple[int, int, int]]) -> None:
    with tarfile.open(REAL_DATA / f"{archive}.tar.gz") as tar:
        folders = [name.split("/")[2] for name in tar.getnames() if name.startswith(f"{archive}/train/")]
    names = sorted(set(folders))
    labels = sorted(names.index(folder) for folder in folders)
    for factor, expected in sizes.items():
        dataset = LongTailDataset(LabelsOnly(labels), factor, max_count=max_count)
        assert (len(dataset), int(dataset.class_counts[0]), int(dataset.class_counts[-1])) == expected
