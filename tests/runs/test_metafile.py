"""Published numbers are read from our metafiles and from those of OpenMMLab; anything else is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from lt_plugins.errors import UserInputError
from lt_plugins.runs.metafile import published_results
from lt_plugins.runs.spec import parse_spec
from tests.tool_process import ROOT


def test_published_numbers(tmp_path: Path) -> None:
    for metafile in (ROOT / "configs").rglob("metafile.yml"):
        for config, published in published_results(metafile):
            assert (ROOT / parse_spec(config).path).is_file() and published["source"]
    foreign = tmp_path / "metafile.yml"
    foreign.write_text(
        "Models:\n  - Name: a\n    Config: a.py\n    Results: [{Task: b, Metrics: {Top 1: 3}}]\n    Weights: c\n"
    )
    assert published_results(foreign) == []


BROKEN = {
    "no YAML": "Models: [",
    "a list": "- 1",
    "nothing": "",
    "no models": "Collections: []",
    "models are a number": "Models: 3",
    "models are numbers": "Models: [3]",
    "no config": "Models: [{Name: a}]",
    "a config of numbers": "Models: [{Config: 3}]",
    "results are text": "Models: [{Config: a.py, Results: text}]",
    "a published number": "Models: [{Config: a.py, Results: [{Published: 83.1}]}]",
    "no source": "Models: [{Config: a.py, Results: [{Published: {overall: 83.1}}]}]",
    "code": "Models: !!python/object/apply:os.getcwd []",
    "deep": "[" * 5000,
    "no text": "\0\xff",
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_metafile_is_one_line(case: str, tmp_path: Path) -> None:
    metafile = tmp_path / "metafile.yml"
    metafile.write_bytes(BROKEN[case].encode("latin-1"))
    with pytest.raises(UserInputError, match=r"metafile\.yml cannot be read as .*; correct it") as caught:
        published_results(metafile)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
