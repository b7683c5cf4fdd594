"""Images with replacement, each class as often as its rule says."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from lt_plugins.datasets.samplers import ClassBalancedSampler
from lt_plugins.errors import UserInputError
from tests.gloo import run_gloo
from tests.small_runs import MakeRunner, make_runner  # noqa: F401 (a fixture)

LABELS = np.repeat([4, 0, 2, 5], [70, 20, 9, 1])
CLASSES = [0, 2, 4, 5]
COUNTS = [20, 9, 70, 1]
RULES: dict[str, dict[str, Any]] = {
    "instance": {"power": 1.0},
    "square root": {"power": 0.5},
    "class": {},
    "reverse": {"power": -1.0},
    "effective number": {"rule": "effective_number", "beta": 0.9},
}


def slow_target(power: float = 0.0, rule: str = "power", beta: float = 0.9999) -> list[float]:
    """Probability of each class by its formula."""
    if rule == "power":
        masses = [count**power for count in COUNTS]
    else:  # the inverse of the effective number, summed over the images of a class
        masses = [count * (1 - beta) / (1 - beta**count) for count in COUNTS]
    return [mass / sum(masses) for mass in masses]


def per_image(probabilities: list[float]) -> list[float]:
    """Probability of each image, given those of the classes."""
    of_class = {name: value / count for name, value, count in zip(CLASSES, probabilities, COUNTS, strict=True)}
    return [of_class[label] for label in LABELS.tolist()]


def slow_order(probabilities: list[float], seed: int, epoch: int, length: int) -> list[int]:
    """Inverse-transform sampling of images, one uniform number a draw."""
    ends = list(accumulate(per_image(probabilities)))
    generator = np.random.default_rng([seed, epoch])
    return [bisect_right(ends, value * ends[-1]) for value in generator.random(length).tolist()]


@pytest.mark.parametrize("name", RULES)
def test_each_draw_is_that_of_the_formula(name: str) -> None:
    sampler = ClassBalancedSampler(LABELS, **RULES[name], seed=11)
    assert sampler.class_probabilities().tolist() == pytest.approx(slow_target(**RULES[name]), rel=1e-12)
    for epoch in (0, 3):
        sampler.set_epoch(epoch)
        assert list(sampler) == slow_order(slow_target(**RULES[name]), 11, epoch, 100)


@pytest.mark.parametrize("name", RULES)
def test_frequencies_of_classes_and_images(name: str) -> None:
    order = list(ClassBalancedSampler(LABELS, **RULES[name], num_samples=200_000, seed=5))
    drawn = np.bincount(order, minlength=100)
    other = RULES["class" if name != "class" else "instance"]
    right, wrong = (np.array(per_image(slow_target(**rule))) * 200_000 for rule in (RULES[name], other))
    assert chisquare(drawn, right).pvalue > 0.001
    assert chisquare(drawn, wrong).pvalue < 1e-6, "the test tells the rules apart"


def test_the_effective_number_lies_between_both_ends() -> None:
    ends = [
        ClassBalancedSampler(LABELS, rule="effective_number", beta=beta).class_probabilities().tolist()
        for beta in (0.0, 1 - 1e-9)
    ]
    assert ends[0] == pytest.approx(slow_target(power=1.0))
    assert ends[1] == pytest.approx([0.25] * 4, rel=1e-6)


def test_progressive_draws_go_from_instances_to_the_rule() -> None:
    sampler = ClassBalancedSampler(LABELS, progressive=True, seed=2)
    for epoch in range(8):
        sampler.set_epoch(epoch, max_epochs=8)
        by_hand = [(1 - epoch / 8) * count / 100 + epoch / 8 * 0.25 for count in COUNTS]
        assert sampler.class_probabilities().tolist() == pytest.approx(by_hand, rel=1e-12)
        sampler.set_epoch(epoch)  # mmengine's hook, which knows the epoch alone
        assert list(sampler) == slow_order(by_hand, 2, epoch, 100)


def test_a_progressive_sampler_asks_for_the_number_of_epochs() -> None:
    sampler = ClassBalancedSampler(LABELS, progressive=True)
    sampler.set_epoch(1)
    with pytest.raises(UserInputError, match=r"set_epoch\(epoch, max_epochs\)"):
        list(sampler)


def test_large_powers_neither_overflow_nor_vanish() -> None:
    assert ClassBalancedSampler(LABELS, power=400.0).class_probabilities().tolist() == pytest.approx([0, 0, 1, 0])
    assert ClassBalancedSampler(LABELS, power=-400.0).class_probabilities().tolist() == pytest.approx([0, 0, 0, 1])


def ranks_order(labels: np.ndarray, epoch: int) -> list[int]:
    sampler = ClassBalancedSampler(labels)  # without a seed: the processes agree on one
    sampler.set_epoch(epoch)
    assert len(list(sampler)) == len(sampler)
    return [sampler.seed, *sampler]


def test_two_processes_share_one_order(tmp_path: Path) -> None:
    labels = np.repeat([0, 1], [9, 4])
    (seed, *first), (other_seed, *second) = run_gloo(ranks_order, labels, 3, folder=tmp_path)
    assert seed == other_seed
    assert len(first) == len(second) == 7, "13 images, rounded up"
    alone = ClassBalancedSampler(labels, num_samples=14, seed=seed)
    alone.set_epoch(3)
    assert np.stack([first, second], axis=1).ravel().tolist() == list(alone)


def test_a_resumed_run_repeats_progressive_draws(make_runner: MakeRunner) -> None:  # noqa: F811
    sampler = {"type": "ClassBalancedSampler", "progressive": True, "_delete_": True}
    options = {"train_dataloader.sampler": sampler, "randomness.seed": 7, "train_cfg.max_epochs": 3}
    runner = make_runner(**options)
    runner.train()
    built = runner.train_dataloader.sampler
    assert (built.seed, built.epoch, built.max_epochs) == (7, 2, 3)
    assert len(built) == len(runner.train_dataloader.dataset)

    resumed = make_runner(**options, resume=True, load_from=f"{runner.work_dir}/epoch_2.pth")
    resumed.train()
    assert list(resumed.train_dataloader.sampler) == list(built)
    for name, value in resumed.model.state_dict().items():
        assert value.equal(runner.model.state_dict()[name]), f"{name} is another one after the resume"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"rule": "inverse"}, "rule='inverse' is unknown"),
        ({"power": float("inf")}, "power=inf must be a finite number"),
        ({"power": 0.5, "rule": "effective_number"}, "belongs to rule='power'"),
        ({"beta": 1.0}, r"beta=1.0 must be in \[0, 1\)"),
        ({"num_samples": 0}, "num_samples=0 must be positive"),
    ],
)
def test_settings_without_meaning_are_refused(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        ClassBalancedSampler(LABELS, **bad)


def test_a_data_set_without_images_is_refused() -> None:
    with pytest.raises(UserInputError, match="ClassBalancedSampler got a dataset without images"):
        ClassBalancedSampler(np.zeros(0, dtype=np.int64))
