"""Advice on a recipe: what it says of a set, and that its commands exist."""

from __future__ import annotations

import re
import shlex

import numpy as np
import pytest

from lt_plugins.analysis.data_advice import advise
from tests.tool_process import ROOT


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([50, 40, 30], ["nearly balanced (factor 1.7)", "120 training images start from a pretrained backbone"]),
        ([100, 20, 20], ["moderate (factor 5)"]),
        ([300, 50, 3, 0], ["strong (factor 100)", "1 class has fewer than 20 images"]),
        ([200_000, 5, 1], ["strong (factor 200,000)", "2 classes have fewer", "carry a training from scratch"]),
    ],
)
def test_what_it_says(counts: list[int], words: list[str]) -> None:
    text = advise(np.array(counts), "my photos")
    for expected in words:
        assert expected in text
    assert "\n" not in text
    command = re.search(r"python (tools/\S+) (\S+) --data ('[^']*'|\S+)", text)
    assert command is not None
    assert (ROOT / command[1]).is_file() and (ROOT / command[2]).is_file()
    assert shlex.split(command[3]) == ["my photos"]
    for place in re.findall(r"(?:configs|docs|tools)/[\w/]+(?:\.\w+)?", text):
        assert (ROOT / place).exists(), place
