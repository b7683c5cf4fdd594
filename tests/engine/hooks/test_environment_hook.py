"""Environments are renewed at the milestones by the confidences of the epoch, on every process and after a resume."""

from __future__ import annotations

from typing import Any

import pytest

from lt_plugins.engine.hooks import EnvironmentHook
from lt_plugins.errors import UserInputError


def test_when_weights_are_renewed() -> None:
    assert [epoch for epoch in range(9) if EnvironmentHook(milestones=[2, 5]).is_due(epoch)] == [2, 5]
    assert [epoch for epoch in range(9) if EnvironmentHook(interval=3).is_due(epoch)] == [2, 5, 8]
    assert not EnvironmentHook(milestones=[]).is_due(0)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"milestones": [-1]}, r"milestones=\[-1\] must be epochs from 0 on"),
        ({"ratios": []}, r"ratios=\[\] one for each environment beside the first"),
        ({"interval": 0}, r"interval=0 1 or more"),
        ({"ratios": [4.0, 0.5]}, r"ratio=0\.5 of an environment must be 1 or more"),
        ({"gamma_range": [1.0]}, r"gamma_range=\(1\.0,\) must be two positive numbers"),
        ({"unseen": "drop"}, r"unseen='drop' must be one of"),
    ],
)
def test_errors(arguments: dict[str, Any], line: str) -> None:
    with pytest.raises(UserInputError, match=line):
        EnvironmentHook(**arguments)
