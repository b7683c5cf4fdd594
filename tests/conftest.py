"""Shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what reads real data where there is none."""
    if REAL_DATA.is_dir():
        return
    skip = pytest.mark.skip(reason=f"{REAL_DATA} is missing")
    for item in items:
        if item.get_closest_marker("realdata"):
            item.add_marker(skip)
