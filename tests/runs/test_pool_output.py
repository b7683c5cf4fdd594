"""Output of runs side by side: lines with names, and the overview that a terminal gets."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from lt_plugins.runs.pool_output import LiveOverview, PoolOutput, RunState, overview, pool_output

STAGES = "stage 1 of 2: a.py -> out/stage1 is skipped: it is finished"
LINES = [
    STAGES,
    "stage 2 of 2: a.py -> out, from out/stage1/epoch_200.pth",
    "schedule  10 epochs of 85 steps, batch 128",
    "Epoch(train)  [3][50/85]  lr: 1.0000e-01  eta: 1 day, 0:12:07  time: 0.2  loss: 2.3026  memory: 609.1",
    "Epoch(val) [3][40/40]    shot/accuracy_top1: 38.3200  shot/few: 9.1  data_time: 0.009",
    "warning: ShotAccuracy: 2 of 10 classes have no test images; the means leave them out.",
]


def render(console_width: int, states: dict[str, RunState]) -> str:
    """The overview as text."""
    console = Console(file=io.StringIO(), width=console_width)
    console.print(overview(states))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_state_of_a_run() -> None:
    state = RunState()
    assert state.progress == "starts"
    for line in LINES:
        state.read(line)
    assert (state.stage, state.progress, state.eta) == ("2/2", "epoch 3/10", "1 day, 0:12:07")
    assert (state.loss, state.overall) == ("2.3026", "38.3200")
    state.read("Iter(train) [  50/24000]  lr: 1.0e-02  eta: 2:00:00  loss: 0.5")
    assert (state.progress, state.eta) == ("step 50/24000", "2:00:00")


def test_overview_fits_a_terminal() -> None:
    states = {"ce/ce_r32_cifar100-lt, seed 0": RunState(), "[red]odd, seed 1": RunState(progress="epoch 2/9")}
    text = render(100, states)
    assert "ce/ce_r32_cifar100-lt, seed 0" in text and "epoch 2/9" in text
    assert "[red]odd" in text, "a name is no markup"
    assert max(map(len, render(40, states).splitlines())) <= 40


def test_terminal_shows_warnings_and_the_end_of_a_run_that_failed() -> None:
    terminal = io.StringIO()
    with LiveOverview(Console(file=terminal, width=100, force_terminal=True)) as output:
        output.started("a, seed 0")
        output.started("b, seed 0")
        for line in LINES:
            output.show("a, seed 0", line)
        output.show("b, seed 0", "Traceback (most recent call last):")
        output.ended("b, seed 0", failed=True)
        output.say("run 2 of 2: b\x1b[2J, seed 0 failed")
        output.ended("a, seed 0", failed=False)
    text = terminal.getvalue()
    assert "a, seed 0 | warning: ShotAccuracy" in text
    assert "b, seed 0 | Traceback" in text
    assert "a, seed 0 | Epoch(train)" not in text
    assert "b\\x1b[2J" in text, "control characters are shown, not obeyed"


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output = pool_output(jobs=2)
    assert type(output) is PoolOutput
    with output:
        output.started("a, seed 0")
        output.show("a, seed 0", LINES[2])
        output.ended("a, seed 0", failed=True)
    assert capsys.readouterr().out == f"a, seed 0 | {LINES[2]}\n"
