"""Recorded confidences against a loop over images, in one process and in two."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import EnvironmentRecorder
from lt_plugins.models.structures import LabelBatch
from tests.gloo import run_gloo

NUM_IMAGES, NUM_CLASSES, STEPS, PART = 11, 4, 3, 6
LABELS = torch.arange(NUM_IMAGES) % NUM_CLASSES


def drawn(step: int) -> tuple[Tensor, Tensor]:
    """Images of two environments of a step, with repetitions, and logits: ``(2 * PART,)`` and ``(2 * PART, C)``."""
    generator = torch.Generator().manual_seed(step)
    index = torch.randint(NUM_IMAGES - 1, (2 * PART,), generator=generator)  # the last image never comes
    return index, 3 * torch.randn(2 * PART, NUM_CLASSES, generator=generator)


def recorder(temperature: float = 1.0) -> EnvironmentRecorder:
    module = EnvironmentRecorder(temperature)
    module.set_num_images(NUM_IMAGES)
    module.set_epoch(0, 10)
    return module


def record(module: EnvironmentRecorder, index: Tensor, logits: Tensor) -> None:
    samples = LabelBatch(LABELS[index], sample_idx=index)
    assert module(torch.zeros(len(index), 2), logits, samples, 2) is None


def probability(logits: list[float], label: int, temperature: float = 1.0) -> float:
    exponentials = [math.exp(value / temperature) for value in logits]
    return exponentials[label] / math.fsum(exponentials)


def reference(temperature: float = 1.0) -> list[float]:
    """Image by image, the last one stays."""
    confidence = [-1.0] * NUM_IMAGES
    for step in range(STEPS):
        index, logits = drawn(step)
        for i, row in zip(index.tolist(), logits.double().tolist(), strict=True):
            confidence[i] = probability(row, int(LABELS[i]), temperature)
    return confidence


@pytest.mark.parametrize("temperature", [1.0, 30.0])
def test_last_occurrence_of_each_image(temperature: float) -> None:
    module = recorder(temperature)
    for step in range(STEPS):
        record(module, *drawn(step))
    module.combine()
    assert module.confidence.tolist() == pytest.approx(reference(temperature), rel=1e-5)
    assert module.confidence[-1] == -1
    assert not len(module.weights)


def record_half() -> Tensor:
    """One of two processes, whose samplers take turns in the images of each environment."""
    rank = torch.distributed.get_rank()
    module = recorder()
    for step in range(STEPS):
        index, logits = drawn(step)
        record(module, index[rank::2], logits[rank::2])
    for _ in range(2):  # a second time changes nothing
        module.combine()
    return module.confidence


def test_two_processes_record_what_one_does(tmp_path: Path) -> None:
    module = recorder()
    for step in range(STEPS):
        record(module, *drawn(step))
    first, second = run_gloo(record_half, folder=tmp_path)
    assert torch.equal(first, module.confidence)
    assert torch.equal(second, first)


def test_an_epoch_begins_without_confidences() -> None:
    module = recorder()
    record(module, *drawn(0))
    module.set_weights(torch.ones(2, NUM_IMAGES))
    module.set_epoch(1, 10)
    assert module.confidence.eq(-1).all()
    assert module.weights.shape == (2, NUM_IMAGES)
    record(module, *drawn(1))
    other = recorder()
    record(other, *drawn(1))
    assert torch.equal(module.confidence, other.confidence)


def test_state_brings_its_size() -> None:
    module = recorder()
    record(module, *drawn(0))
    module.set_weights(torch.rand(2, NUM_IMAGES, dtype=torch.float64))
    state = module.state_dict()
    assert set(state) == {"confidence", "weights"}
    other = EnvironmentRecorder()
    other.load_state_dict(state)
    other.set_num_images(NUM_IMAGES)
    assert torch.equal(other.confidence, module.confidence)
    assert torch.equal(other.weights, module.weights)
    other.set_num_images(NUM_IMAGES + 1)
    assert other.confidence.tolist() == [-1] * (NUM_IMAGES + 1), "that of another training set is forgotten"
    assert other.weights.shape == (0, NUM_IMAGES + 1)


def test_mixed_images_count_for_their_own_class() -> None:
    index, logits = drawn(0)
    plain, mixed = recorder(), recorder()
    record(plain, index, logits)
    scores = torch.eye(NUM_CLASSES)[LABELS[index]] * 0.3 + 0.7 * torch.eye(NUM_CLASSES)[LABELS[index.flip(0)]]
    samples = LabelBatch(LABELS[index], sample_idx=index).with_scores(scores)
    mixed(torch.zeros(len(index), 2), logits, samples, 2)
    assert torch.equal(mixed.confidence, plain.confidence)


def test_experts_count_by_their_mean_logits() -> None:
    index, logits = drawn(0)
    plain, experts = recorder(), recorder()
    record(plain, index, logits)
    record(experts, index, torch.stack([logits + 2, 3 * logits, -logits - 2], dim=1))
    torch.testing.assert_close(experts.confidence, plain.confidence)


def test_batches_that_no_state_may_learn_from() -> None:
    module = recorder()
    record(module, *drawn(0))
    before = module.confidence.clone()
    module.repeats_batch = True
    record(module, *drawn(1))
    module.repeats_batch = False
    index, logits = drawn(2)
    logits[3, 1] = math.inf
    record(module, index, logits)
    assert torch.equal(module.confidence, before)


def test_half_precision_logits() -> None:
    index, logits = drawn(0)
    plain, half = recorder(), recorder()
    record(plain, index, logits.half().float())
    record(half, index, logits.half())
    assert half.confidence.dtype == torch.float32
    assert torch.equal(half.confidence, plain.confidence)


def test_errors() -> None:
    with pytest.raises(UserInputError, match=r"temperature=0 must be positive"):
        EnvironmentRecorder(0)
    index, logits = drawn(0)
    with pytest.raises(UserInputError, match=r"got no number of training images; .*EnvironmentHook"):
        record(EnvironmentRecorder(), index, logits)
    with pytest.raises(UserInputError, match=r"got samples without an index; keep 'sample_idx'"):
        recorder()(torch.zeros(len(index), 2), logits, LabelBatch(LABELS[index]), 2)
