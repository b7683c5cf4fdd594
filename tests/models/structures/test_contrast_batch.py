import dataclasses

import pytest
import torch

from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import ContrastBatch
from tests.models.reference import two_view_contrast


def test_an_anchor_meets_all_used_places_but_itself():
    contrast = two_view_contrast(num_images=3, queue=4, unused=2)
    for i, row in enumerate(contrast.valid):
        assert row.nonzero().flatten().tolist() == [j for j in range(8) if j != i]


def test_the_other_view_of_the_image():
    contrast = two_view_contrast(num_images=3)
    assert contrast.other_view.nonzero().tolist() == [[0, 3], [1, 4], [2, 5], [3, 0], [4, 1], [5, 2]]


def test_private_candidates_are_met_by_their_own_anchor_only():
    """MoCo: each query meets its own key and the queue."""
    full = two_view_contrast(num_images=3, queue=4, unused=1)
    keys_and_queue = dataclasses.replace(
        full,
        anchors=full.anchors[:3],
        anchor_labels=full.anchor_labels[:3],
        candidates=full.candidates[3:],
        candidate_labels=full.candidate_labels[3:],
        anchor_positions=None,
        other_view_positions=torch.arange(3),
        num_private=3,
    )
    assert keys_and_queue.valid.nonzero().tolist() == [[i, j] for i in range(3) for j in sorted({i, 3, 4, 5})]


@pytest.mark.parametrize(
    ("second", "labels", "sample_idx"),
    [((3, 5), (4,), None), ((4, 5), (3,), None), ((4, 5), (4, 2), None), ((4, 5), (4,), (3,))],
)
def test_views_that_do_not_fit_are_refused(second, labels, sample_idx):
    indices = None if sample_idx is None else torch.zeros(sample_idx, dtype=torch.int64)
    for make in (ContrastBatch.from_views, ContrastBatch.from_queries):
        with pytest.raises(UserInputError, match=r"views of shape \(4, 5\) and .* one label \(and index\) an image"):
            make(torch.ones(4, 5), torch.ones(second), torch.zeros(labels, dtype=torch.int64), indices)


def test_without_other_views_it_says_what_is_missing():
    contrast = dataclasses.replace(two_view_contrast(), other_view_positions=None)
    with pytest.raises(ValueError, match="set other_view_positions"):
        contrast.other_view  # noqa: B018
