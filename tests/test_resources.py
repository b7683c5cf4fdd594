"""Configs and tools that the package carries, and the command line that runs them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lt_plugins import __main__ as command_line
from lt_plugins import resources
from tests.tool_process import ROOT


def test_every_leaf_is_a_ready_config() -> None:
    found = list(resources.ready_configs())
    leaves = [path for path in (ROOT / "configs").rglob("*.py") if "_base_" not in path.parts]
    assert sorted(ROOT / "configs" / f"{name}.py" for name in found) == sorted(leaves)
    assert all(resources.find_config(name) == ROOT / "configs" / f"{name}.py" for name in found)
    assert resources.find_config("_base_/datasets/digits") is not None, "a part can be a base too"


def test_every_tool_is_a_command() -> None:
    assert resources.tools() == {
        path.relative_to(ROOT / "tools").with_suffix("").as_posix(): path
        for path in sorted((ROOT / "tools").rglob("*.py"))
        if "dev" not in path.parts
    }
    assert {"train", "test", "sweep", "report", "detection/predict"} <= {*resources.tools()}


def test_messages_name_the_tools_as_they_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    message = "run python tools/test.py CONFIG, or tools/detection/predict.py; see mytools/test.py and tools/test.sh"
    assert resources.spell_tools(message) == message
    monkeypatch.setattr(resources, "IN_CLONE", False)
    assert resources.spell_tools(message) == (
        "run python -m lt_plugins test CONFIG, or python -m lt_plugins detection/predict; see mytools/test.py and "
        "tools/test.sh"
    )


def test_help_lists_every_command_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    command_line.main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    for name, script in resources.tools().items():
        [line] = [line for line in lines if line.startswith(f"  {name} ")]
        assert len(line) > len(name) + 20, f"{script} has no docstring"


def test_a_command_runs_its_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["-m"])
    monkeypatch.chdir(tmp_path)
    command_line.main(["configs", "lpa", "cifar10-lt"])
    assert capsys.readouterr().out == "lpa/lpa_r32_cifar10-lt  :folders :lt10 :lt50 :r20\n"
    with pytest.raises(SystemExit) as stop:
        command_line.main(["configs", "--nonsense"])
    assert stop.value.code == 1
    assert "--nonsense; see python -m lt_plugins configs --help" in capsys.readouterr().err


@pytest.mark.parametrize(("command", "hint"), [("tain", "did you mean train?"), ("\x1b[31m", "--help lists them.")])
def test_an_unknown_command(command: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        command_line.main([command])
    assert stop.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("error: there is no command ") and error.endswith(f"{hint}\n") and "\x1b" not in error
