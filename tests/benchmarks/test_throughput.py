"""The benchmark of whole trainings measures all contestants and prints what follows from their times."""

from __future__ import annotations

import multiprocessing
import re
from pathlib import Path

import pytest

from benchmarks import timed_runs
from benchmarks.throughput import CONTESTANTS, PARTS, REFERENCE, Contestant, Ratio, race, report
from benchmarks.timed_runs import NUM_WARM_EPOCHS, Epoch, Options, Span, run_contestant

OPTIONS = Options(steps=3, rounds=2, batch_size=4, threads=1, workers=0, device="cpu", data=None)


def forked(name: str) -> Contestant:
    """A contestant that has the imports of this process."""
    context = multiprocessing.get_context("fork")
    own, other = context.Pipe()
    process = context.Process(target=run_contestant, args=(name, OPTIONS, other))
    process.start()
    other.close()
    return Contestant(process, own)


def test_all_contestants_train_in_turn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(timed_runs, "NUM_TEST_IMAGES", 20)
    monkeypatch.chdir(tmp_path)  # no data here
    contestants = {name: forked(name) for name in CONTESTANTS}
    try:
        epochs = race("CE", contestants, NUM_WARM_EPOCHS, OPTIONS.rounds)
        for contestant in contestants.values():
            contestant.pipe.send(None)
            contestant.process.join()
            assert contestant.process.exitcode == 0
    finally:
        for contestant in contestants.values():
            contestant.process.terminate()
    for name, values in epochs.items():
        assert len(values) == NUM_WARM_EPOCHS + OPTIONS.rounds
        assert all(epoch.step.wall > 0 and epoch.step.cpu > 0 for epoch in values)
        timed = [epoch for epoch in values if epoch.parts]
        if name.startswith("bare"):
            assert not timed
            continue
        [epoch] = timed
        assert epoch is values[NUM_WARM_EPOCHS - 1]
        seconds = dict(epoch.parts)
        step = seconds.pop("all but data")
        assert {*seconds} | {"other"} == {*PARTS}
        assert 0 < sum(value for part, value in seconds.items() if part != "data") <= step
    assert [epoch.evaluation is not None for epoch in epochs["ours"]] == [False] * NUM_WARM_EPOCHS + [False, True]


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Ours takes 1.25 times the step of the bare loop and 10.847 s an epoch for the rest, evaluation not included."""

    def epoch(seconds: float, between: float, evaluation: float | None = None) -> Epoch:
        parts = {"hooks": 0.1, "preprocessor": 0.1, "forward": 0.3, "backward and update": 0.4, "all but data": 0.9}
        timed = {"data": 0.1, **parts} if between else {}
        return Epoch(
            Span(seconds, 2 * seconds), Span(between, between), evaluation=evaluation, interval=10, parts=timed
        )

    options = OPTIONS._replace(batch_size=100)
    steps = 10_847 / 100
    values = {
        REFERENCE: [epoch(1.0, 0.0)] * (NUM_WARM_EPOCHS + 2),
        "ours": [epoch(1.25, steps / 10, 6.75 * steps)] * (NUM_WARM_EPOCHS + 2),
    }
    verdicts = report("CE", values, options, NUM_WARM_EPOCHS)
    printed = capsys.readouterr().out
    row = next(line.split() for line in printed.splitlines() if re.match(r" *ours +\d", line))
    # Speed; 1 / (1.25 + 0.1) of the bare loop; CPU (2 * 1.25 + 0.1) / 2; 0.1 / 1.35 of an epoch.
    assert row == ["ours", "74.1", "0.741", "(0.741-0.741)", "1.300", "7.4%"]
    assert (
        "data 10.0%, preprocessor 10.0%, hooks 10.0%, forward 30.0%, backward and update 40.0%, other 0.0%" in printed
    )
    assert verdicts == [
        "FAIL  CE: 0.741 of the bare loop, bar 0.97",
        "FAIL  CE: 1.500 of an epoch with its share of the evaluation, bar 1.05",
    ]


def test_ratios_compare_within_a_round() -> None:
    assert Ratio.of([1.0, 2.0, 9.0], [2.0, 2.0, 3.0]) == Ratio(median=1.0, low=0.5, high=3.0)
