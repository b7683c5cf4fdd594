"""Shared by all tests."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

# Of this process and the tools it starts, before torch is imported. On tiny batches more threads only wait for each
# other, and on a busy machine they wait for minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import lt_plugins.plugins  # noqa: F401 (registers)
from tests.small_runs import make_runner  # noqa: F401 (a fixture)

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# A run that decides about a change must not depend on luck; developers' runs look at new examples each time.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


def pytest_configure() -> None:
    """Keep scans of the images of tests, also by the tools they start, out of the user's cache."""
    os.environ["LT_PLUGINS_CACHE"] = tempfile.mkdtemp(prefix="lt_plugins_tests_")


def pytest_unconfigure() -> None:
    """Remove that cache."""
    shutil.rmtree(os.environ.pop("LT_PLUGINS_CACHE"), ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what reads real data where there is none."""
    if REAL_DATA.is_dir():
        return
    skip = pytest.mark.skip(reason=f"{REAL_DATA} is missing")
    for item in items:
        if item.get_closest_marker("realdata"):
            item.add_marker(skip)


def pytest_collection_finish() -> None:
    """Take what the imports made out of garbage collection.

    mmengine collects garbage for each dataset that it builds, which takes most of a second with torch's modules to
    look through.
    """
    gc.collect()
    gc.freeze()
