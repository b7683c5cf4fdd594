"""Labels and predictions of a batch as tensors, and as the samples that other code expects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample

from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import LabelBatch

LABELS = (3, 0, 2)


def samples(**meta: object) -> list[DataSample]:
    return [
        DataSample(metainfo={"sample_idx": 10 * i, "img_path": f"{i}.png", **meta}).set_gt_label(label)
        for i, label in enumerate(LABELS)
    ]


def test_samples_become_tensors():
    batch = LabelBatch.from_samples(samples())
    assert isinstance(batch, Sequence) and len(batch) == 3
    assert batch.labels.tolist() == list(LABELS) and batch.labels.dtype == torch.int64
    assert batch.sample_idx.tolist() == [0, 10, 20]
    assert batch.scores is None and batch.pred_score is None and batch.pred_label is None
    assert torch.equal(batch.target, batch.labels)
    assert LabelBatch.from_samples(batch) is batch


def test_elements_are_the_samples_with_what_is_new():
    given = samples()
    scores = torch.tensor([[0.1, 0.9, 0.0, 0.0], [0.6, 0.2, 0.1, 0.1], [0.0, 0.0, 0.5, 0.5]])
    batch = LabelBatch.from_samples(given).with_predictions(scores)
    assert "pred_score" not in given[0], "built only when it is asked for"
    for i, sample in enumerate(batch):
        assert sample is given[i] and sample is batch[i] and sample is batch[i - 3]
        assert sample.img_path == f"{i}.png" and sample.sample_idx == 10 * i
        assert sample.gt_label.tolist() == [LABELS[i]]
        assert torch.equal(sample.pred_score, scores[i])
        assert sample.pred_label.tolist() == [[1, 0, 2][i]], "the first of equals"
    with pytest.raises(IndexError):
        batch[3]


def test_elements_of_tensors_alone():
    batch = LabelBatch(torch.tensor(LABELS), sample_idx=torch.tensor([5, 6, 7]))
    assert [(s.gt_label.tolist(), s.sample_idx) for s in batch] == [([3], 5), ([0], 6), ([2], 7)]
    assert batch[1] is batch[1], "what other code writes into a sample stays"
    predicted = LabelBatch(pred_score=torch.eye(2))
    assert [sample.pred_label.item() for sample in predicted] == [0, 1]
    assert "gt_label" not in predicted[0] and "sample_idx" not in predicted[0].metainfo


def test_mixed_labels_are_the_target():
    shares = torch.tensor([[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]])
    batch = LabelBatch.from_samples(samples()).with_scores(shares)
    assert torch.equal(batch.target, shares)
    assert torch.equal(batch[2].gt_score, shares[2])
    again = LabelBatch.from_samples(list(batch))
    assert torch.equal(again.scores, shares) and torch.equal(again.labels, batch.labels)


def test_slices_are_batches_of_the_same_samples():
    given = samples()
    part = LabelBatch.from_samples(given).with_predictions(torch.eye(4)[:3])[1:]
    assert isinstance(part, LabelBatch) and len(part) == 2
    assert part.labels.tolist() == [0, 2] and part.sample_idx.tolist() == [10, 20]
    assert part[0] is given[1] and part[0].pred_label.item() == 1


def test_images_without_one_label_each():
    some, many = samples(), samples()
    del some[1].gt_label
    many[2].set_gt_label([1, 2])
    for given in (some, many):
        batch = LabelBatch.from_samples(given)
        assert batch.labels is None
        with pytest.raises(UserInputError, match="exactly one gt_label an image"):
            batch.target  # noqa: B018 (raises)
    assert LabelBatch.from_samples(many)[2].gt_label.tolist() == [1, 2]


@pytest.mark.parametrize(("index", "expected"), [(np.int64(4), [4, 10, 20]), (None, None), ("a", None), (1.5, None)])
def test_positions_are_whole_numbers_of_all_images(index, expected):
    given = samples()
    given[0].set_metainfo({"sample_idx": index})
    found = LabelBatch.from_samples(given).sample_idx
    assert (None if found is None else found.tolist()) == expected


def test_a_move_takes_everything_along():
    batch = LabelBatch.from_samples(samples()).with_predictions(torch.eye(4)[:3]).with_scores(torch.ones(3, 4))
    moved = batch.to("meta")
    assert {t.device.type for t in (moved.labels, moved.sample_idx, moved.pred_score, moved.scores)} == {"meta"}
    assert batch.labels.device.type == "cpu"
    stays = batch.to("cpu")
    assert torch.equal(stays.labels, batch.labels) and torch.equal(stays.sample_idx, batch.sample_idx)
    assert LabelBatch.from_samples(samples(), "meta").labels.device.type == "meta"


def test_parts_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match=r"as many images, got \[2, 3\]"):
        LabelBatch(torch.zeros(2, dtype=torch.int64), sample_idx=torch.arange(3))
    with pytest.raises(ValueError, match="got none"):
        LabelBatch()
