"""The runner of the tools: a console that shows the run, a log with everything, and no time for the config's text."""

from __future__ import annotations

import io
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger, print_log

from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.runs.config import load_config
from lt_plugins.runs.console import ConsoleHandler, show_on_console, warnings_to_log
from lt_plugins.runs.launch import prepare_launch
from lt_plugins.runs.quiet_runner import QuietRunner
from lt_plugins.runs.run_folder import RunFolder
from tests.tool_process import ROOT

SMALL = {
    "model.backbone.depth": 20,
    "train_dataloader.dataset.max_count": 12,
    "train_dataloader.dataset.imbalance_factor": 6,
    "train_dataloader.batch_size": 16,
    "train_cfg.max_epochs": 2,
    "train_cfg.val_interval": 1,
    "val_dataloader.dataset.indices": 100,
    "default_hooks.logger.interval": 1,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[QuietRunner, str]:
    """A short run and what it printed."""
    cfg = load_config(str(ROOT / "configs/ce/ce_r32_digits.py"), SMALL)
    cfg.work_dir = str(tmp_path_factory.mktemp("run"))
    prepare_launch(cfg, "none")
    calls = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", console := io.StringIO())
        patch.setattr("yapf.yapflib.yapf_api.FormatCode", lambda *args, **_: calls.append(args))
        runner = QuietRunner.from_cfg(cfg)
        runner.train()
        printed = console.getvalue()
    assert not calls, "the text of the config was laid out"
    return runner, printed


def test_console_shows_the_run_and_nothing_else(trained: tuple[QuietRunner, str]) -> None:
    lines = trained[1].splitlines()
    assert lines[0].startswith("About to train, results go to ")
    body = lines[next(i for i, line in enumerate(lines) if line.startswith("Epoch(")) :]
    assert [line.split("  ")[0] for line in body] == [
        line
        for epoch in (1, 2)
        for line in (*(f"Epoch(train) [{epoch}][{step}/4]" for step in range(1, 5)), f"Epoch(val) [{epoch}][1/1]")
    ]
    assert all(word in body[0] for word in ("lr: ", "eta: ", "loss: "))
    assert "shot/accuracy_top1: " in body[4]
    assert len(lines) < 24


def test_log_file_has_everything(trained: tuple[QuietRunner, str]) -> None:
    runner, printed = trained
    log = next(Path(runner.work_dir).glob("*/*.log")).read_text()
    for text in (
        "System environment:",
        "PyTorch: ",
        "Hooks will be executed",
        "Saving checkpoint",
        "mmengine - WARNING",
    ):
        assert text in log
        assert text not in printed
    for line in printed.splitlines():
        assert line.removeprefix("warning: ") in log


def test_texts_of_the_config_load(trained: tuple[QuietRunner, str], tmp_path: Path) -> None:
    """Of the checkpoint (OpenMMLab's tools read it), the dump in the work dir and the one beside the log."""
    runner, _ = trained
    expected = runner.cfg.to_dict()
    (tmp_path / "meta.py").write_text(load_checkpoint(Path(runner.work_dir, "epoch_2.pth"))["meta"]["cfg"])
    dumps = [tmp_path / "meta.py", Path(runner.work_dir, "ce_r32_digits.py")]
    dumps += Path(runner.work_dir).glob("*/vis_data/config.py")
    assert len(dumps) == 3
    for path in dumps:
        assert Config.fromfile(path).to_dict() == expected
    assert RunFolder(runner.work_dir).config()[1]["model"]["backbone"]["depth"] == 20


@pytest.fixture
def logger(tmp_path: Path) -> Iterator[MMLogger]:
    """A logger with a file, quiet on the console."""
    logger = MMLogger.get_instance("quiet", log_file=str(tmp_path / "log"))
    show_on_console(logger)
    yield logger
    MMLogger._instance_dict.pop("quiet")


def as_module(name: str, statement: str, **values: object) -> None:
    """Run a statement as if it stood in another module."""
    exec(compile(statement, name, "exec"), {"__name__": name, **values})  # noqa: S102


def test_whose_lines_are_shown(logger: MMLogger, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("mmengine.runner.runner", "mmpretrain.models.x", "lt_plugins.engine.x", "hooks_of_a_user"):
        as_module(name, f"logger.info('info of {name}')", logger=logger)
        as_module(name, f"print_log('warning of {name}', 'current', 30)", print_log=print_log)
        as_module(name, f"logger.error('failure of {name}')", logger=logger)
    shown = capsys.readouterr().out.splitlines()
    assert shown == [
        "ERROR: failure of mmengine.runner.runner",
        "ERROR: failure of mmpretrain.models.x",
        "info of lt_plugins.engine.x",
        "warning: warning of lt_plugins.engine.x",
        "ERROR: failure of lt_plugins.engine.x",
        "info of hooks_of_a_user",
        "warning: warning of hooks_of_a_user",
        "ERROR: failure of hooks_of_a_user",
    ]
    assert len((tmp_path / "log").read_text().splitlines()) == 12


def test_warnings_of_other_packages_go_to_the_log(
    logger: MMLogger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings(), warnings_to_log():
        warnings.simplefilter("always")
        warnings.warn_explicit("old", DeprecationWarning, "/elsewhere/x.py", 3)
    captured = capsys.readouterr()
    assert not captured.out + captured.err
    assert "/elsewhere/x.py:3: DeprecationWarning: old" in (tmp_path / "log").read_text()


class Terminal(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def test_one_progress_line_on_a_terminal(logger: MMLogger, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "40")
    code = "def after_train_iter(logger, text): logger.info(text)\nafter_train_iter(logger, text)"
    for text in (
        "Exp name: x",
        "Epoch(train) [1][1/2]  time: 0.1  data_time: 0.1  loss: 3  memory: 5",
        "Epoch(train) [1][2/2] " + "x" * 40,
    ):
        as_module("mmengine.hooks.logger_hook", code, logger=logger, text=text)
    as_module("lt_plugins.engine.x", "logger.info('clusters \\x1b[2J')", logger=logger)
    assert terminal.getvalue() == (
        "\r\x1b[2KEpoch(train) [1][1/2] loss: 3\r\x1b[2KEpoch(train) [1][2/2] xxxxxxxxxxxxxxxxx\nclusters \\x1b[2J\n"
    )


def test_a_closed_console_does_not_stop_a_run(logger: MMLogger, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys, "stdout", Closed())
    logger.info("into the void")
    [handler] = [handler for handler in logger.handlers if isinstance(handler, ConsoleHandler)]
    assert handler.level > logging.CRITICAL
    logger.error("only into the file")


def test_default_hooks_can_be_left_out(tmp_path: Path) -> None:
    """mmengine's own, and those of the configs here."""
    left_out = {"default_hooks.sampler_seed": None, "default_hooks.preflight": None}
    cfg = load_config(str(ROOT / "configs/ce/ce_r32_digits.py"), SMALL | left_out | {"train_cfg.max_epochs": 1})
    cfg.work_dir = str(tmp_path)
    prepare_launch(cfg, "none")
    runner = QuietRunner.from_cfg(cfg)
    kinds = {type(hook).__name__ for hook in runner.hooks}
    assert not kinds & {"DistSamplerSeedHook", "PreflightHook"}
    assert {"DeferredInfoHook", "EpochSeedHook", "ClassDistributionHook"} <= kinds
    runner.train()
    assert runner.epoch == 1
