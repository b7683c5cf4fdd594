from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_plugins.clustering import subclass_sizes
from lt_plugins.errors import UserInputError


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=60))
@settings(max_examples=60, deadline=None)
def test_sizes(images: list[tuple[int, int]]) -> None:
    """Subclasses are numbered backwards and with gaps."""
    subclass = [100 - 7 * (4 * label + part) for label, part in images]
    found = subclass_sizes(torch.tensor(subclass), torch.tensor([label for label, _ in images]), 6)
    counts = Counter(zip(subclass, images, strict=True))
    expected = [(size, label) for (_, (label, _)), size in sorted(counts.items())]
    assert list(zip(found.sizes.tolist(), found.labels.tolist(), strict=True)) == expected
    parts = Counter(label for label, _ in set(images))
    assert found.num_parts.tolist() == [parts[label] for label in range(6)]
    assert found.is_part.tolist() == [parts[label] > 1 for _, label in expected]


def test_other_training_data() -> None:
    with pytest.raises(UserInputError, match="subclasses for 3 images, but 2 training images"):
        subclass_sizes(torch.tensor([0, 0, 1]), torch.tensor([0, 1]), 2)
    with pytest.raises(UserInputError, match="subclass 5 has images of several classes"):
        subclass_sizes(torch.tensor([2, 5, 5]), torch.tensor([0, 0, 1]), 2)
