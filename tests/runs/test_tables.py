"""Cells and tables in Markdown."""

import pytest

from lt_plugins.runs.tables import markdown_table, mean_and_spread


@pytest.mark.parametrize(
    ("values", "expected"), [([], "-"), ([46.96], "47.0"), ([46.0, 48.0], "47.0 ± 1.4"), ([5.0, 5.0, 5.0], "5.0 ± 0.0")]
)
def test_mean_and_spread(values, expected):
    assert mean_and_spread(values) == expected


def test_markdown_table():
    assert markdown_table(("Config", "Overall"), [("a", "1.0"), ("b", "-")], {1}) == (
        "| Config | Overall |\n| --- | ---: |\n| a | 1.0 |\n| b | - |"
    )
