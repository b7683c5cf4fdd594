"""What the command lines share."""

from __future__ import annotations

import argparse
from pathlib import Path
from urllib.error import URLError

import pytest
import torch

from lt_plugins.engine.cli import DEBUG_VARIABLE, OverrideAction, add_config_arguments, load_config, user_errors
from lt_plugins.errors import UserInputError
from tests.tool_process import ROOT

CONFIG = str(ROOT / "configs/baselines/ce/ce_r32_digits.py")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserInputError("one\n  thing"), "error: one thing"),
        (
            FileNotFoundError(2, "No such file or directory", "data/a.txt"),
            "error: No such file or directory: data/a.txt",
        ),
        (FileNotFoundError("no images in data/"), "error: no images in data/"),
        (
            TypeError("A.__init__() got an unexpected keyword argument 'b'"),
            "error: the config does not fit the code: A.",
        ),
        (
            KeyError("Foo is not in the mmpretrain::model registry. Please"),
            "error: the config does not fit the code: 'Foo",
        ),
        (URLError("no route to host"), "error: download failed (no route to host); put the file where docs/data.md"),
        (torch.OutOfMemoryError("CUDA out of memory."), "error: CUDA out of memory. Lower train_dataloader.batch_size"),
    ],
)
def test_user_errors_are_one_line(error: Exception, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info, user_errors():
        raise error
    assert exit_info.value.code == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(line)
    assert captured.err.count("\n") == 1
    assert not captured.out


@pytest.mark.parametrize("error", [KeyError("a"), TypeError("unsupported operand"), ZeroDivisionError()])
def test_bugs_keep_their_traceback(error: Exception) -> None:
    with pytest.raises(type(error)), user_errors():
        raise error


def test_other_ranks_are_silent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit) as exit_info, user_errors():
        raise UserInputError("said by rank 0")
    assert exit_info.value.code == 1
    assert not capsys.readouterr().err


def test_traceback_on_request(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(DEBUG_VARIABLE, "1")
    with pytest.raises(SystemExit), user_errors():
        raise UserInputError("where?")
    assert "Traceback" in capsys.readouterr().err


def test_overrides() -> None:
    parser = argparse.ArgumentParser()
    add_config_arguments(parser)
    overrides = ["train_cfg.max_epochs=7", "randomness.seed=3", "find_unused_parameters=True"]
    args = parser.parse_args([CONFIG, "--cfg-options", *overrides])
    cfg = load_config(args.config, args.cfg_options)
    assert (cfg.train_cfg.max_epochs, cfg.randomness.seed, cfg.find_unused_parameters) == (7, 3, True)


@pytest.mark.parametrize("values", [["train_cfg.max_epochs"], ["=3"], ["a b=3"], ["model.x=[1,2"]])
def test_malformed_overrides(values: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=OverrideAction)
    with pytest.raises(UserInputError, match="--cfg-options"):
        parser.parse_args(["--cfg-options", *values])


def test_overrides_that_do_not_fit() -> None:
    with pytest.raises(UserInputError, match="no 'modle'; did you mean 'model'"):
        load_config(CONFIG, {"modle.head.num_classes": 3})
    with pytest.raises(UserInputError, match="the config has no 'q'; it has"):
        load_config(CONFIG, {"q": 3})
    for overrides in ({"custom_hooks.17.start": 3}, {"log_level.a": 3}):
        with pytest.raises(UserInputError, match="does not fit"):
            load_config(CONFIG, overrides)


def test_broken_configs(tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match="does not exist"):
        load_config(str(tmp_path / "none.py"))
    for number, text in enumerate(
        ["a = ", "_base_ = './none.py'", "a = b", "a = dict()['b']", "custom_imports = {'imports': ['none']}"]
    ):
        path = tmp_path / f"broken{number}.py"
        path.write_text(text)
        with pytest.raises(UserInputError, match=r"cannot be read") as caught:
            load_config(str(path))
        assert "\n" not in str(caught.value)
