"""Of all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lt_plugins.runs import config
from tests.configs.catalogue import read_once


@pytest.fixture(autouse=True, scope="module")
def files_are_read_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "read_config", read_once)
        yield
