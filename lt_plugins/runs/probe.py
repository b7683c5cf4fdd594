"""Probe: measures the speed of a config in a few steps, with others beside it.

python -m lt_plugins.runs.probe CONFIG --steps 20 --out speed.json
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from lt_plugins.atomic_write import atomic_write
from lt_plugins.datasets.loader_order import batch_parts
from lt_plugins.errors import UserInputError
from lt_plugins.runs.campaign import StageSpeed
from lt_plugins.runs.child_processes import ChildProcesses, describe_exit
from lt_plugins.runs.cli import ToolParser, add_config_arguments, add_shorten_argument, user_errors
from lt_plugins.runs.config import load_stages
from lt_plugins.runs.launch import prepare_launch
from lt_plugins.runs.quiet_runner import QuietRunner
from lt_plugins.runs.run_pool import slot_devices
from lt_plugins.runs.schedule import fit_schedule
from lt_plugins.runs.stages import place_stages
from lt_plugins.runs.typed_command import THREADS

WARM_STEPS = 3
VAL_BATCHES = 4
SECONDS_TO_MEET = 300.0
PLACES = ("warm", "measured")
"""Where probes side by side meet."""


class ProbedEnough(Exception):  # noqa: N818 (no error: the end of a probe)
    """Ends a training that has been measured."""


class Meeting:
    """Meeting of processes: each waits until all have come.

    Args:
        folder (Path | None): Where each leaves a file; None for a process alone.
        count (int): Number of processes.
    """

    def __init__(self, folder: Path | None, count: int) -> None:
        self.folder, self.count = folder, count

    def arrive(self, place: str, who: str) -> None:
        """Come to a place.

        Args:
            place (str): Its name.
            who (str): Name of this process.
        """
        if self.folder is not None:
            (self.folder / place).mkdir(parents=True, exist_ok=True)
            (self.folder / place / who).touch()

    def is_complete(self, place: str) -> bool:
        """Check whether all have come.

        Args:
            place (str): Name of the place.
        """
        return self.folder is None or len(list((self.folder / place).iterdir())) >= self.count

    def wait(self, place: str) -> None:
        """Wait until all have come, at most some minutes: one may have failed.

        Args:
            place (str): Name of the place.
        """
        end = time.monotonic() + SECONDS_TO_MEET
        while not self.is_complete(place) and time.monotonic() < end:
            time.sleep(0.05)


class ProbeHook(Hook):
    """Probe hook: measures steps after a warm-up and some batches of the evaluation, then ends the training.

    Args:
        steps (int): Steps to measure.
        meeting (Meeting): The probes beside this one, which are measured at the same time.
        who (str): Name of this probe among them.
        started (float): ``time.monotonic()`` at the start of the stage.
    """

    priority = "LOWEST"

    def __init__(self, steps: int, meeting: Meeting, who: str, started: float) -> None:
        self.steps, self.meeting, self.who, self.started = steps, meeting, who, started
        self.start_s = self.step_s = self.val_s = math.nan
        self._began = 0.0

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:  # noqa: ARG002
        """Note when the first step begins.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Step of the epoch.
            data_batch (Any): The batch.
        """
        if runner.iter == 0:
            self.start_s = time.monotonic() - self.started

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,  # noqa: ARG002 (mmengine's signature)
        data_batch: Any = None,  # noqa: ARG002
        outputs: dict | None = None,  # noqa: ARG002
    ) -> None:
        """Measure.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Step of the epoch.
            data_batch (Any): The batch.
            outputs (dict, optional): The losses.

        Raises:
            ProbedEnough: When all is measured.
        """
        done = runner.iter + 1 - WARM_STEPS
        if done == 0:
            synchronize()
            self.meeting.arrive(PLACES[0], self.who)
            self.meeting.wait(PLACES[0])
            self._began = time.monotonic()
        elif done == self.steps:
            synchronize()
            self.step_s = (time.monotonic() - self._began) / self.steps
            self.meeting.arrive(PLACES[1], self.who)
        if done >= self.steps and (self.meeting.is_complete(PLACES[1]) or done >= 100 * self.steps):
            self.val_s = self._evaluate(runner)
            raise ProbedEnough

    def _evaluate(self, runner: Runner) -> float:
        """Seconds of an evaluation, from its first batches."""
        loader = runner.val_dataloader
        runner.model.eval()
        times = []
        for batch in loader:
            synchronize()
            times.append(time.monotonic())
            with torch.no_grad():
                runner.model.val_step(batch)
            if len(times) > VAL_BATCHES:
                break
        synchronize()
        times.append(time.monotonic())
        # Workers fill their queues before the first batch comes, so the steps themselves are what is measured.
        return (times[-1] - times[0]) / (len(times) - 1) * len(loader)


def synchronize() -> None:
    """Wait for the device."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def probe_stage(cfg: Config, steps: int, meeting: Meeting, who: str) -> tuple[StageSpeed, Runner]:
    """Measure a stage.

    Args:
        cfg (Config): Its config, with a work dir and, after the first stage, weights to start from.
        steps (int): Steps to measure.
        meeting (Meeting): The probes beside this one.
        who (str): Name of this probe among them.

    Returns:
        tuple[StageSpeed, Runner]: What was measured, and the runner.
    """
    started = time.monotonic()
    runner = QuietRunner.from_cfg(cfg)
    hook = ProbeHook(steps, meeting, who, started)
    runner.register_hook(hook)
    fit_schedule(runner)
    try:
        runner.train()
    except ProbedEnough:
        pass
    else:
        raise UserInputError(f"the training of {cfg.filename} ended before {steps + WARM_STEPS} steps; lower --steps.")
    loader, train = runner.train_dataloader, cfg.train_cfg
    interval = train.get("val_interval", 1)
    speed = StageSpeed(
        start_s=hook.start_s,
        step_s=hook.step_s,
        batch_size=math.prod(batch_parts(loader)),
        steps=len(loader),
        epochs=train.max_epochs,
        val_s=hook.val_s,
        evaluations=math.ceil(train.max_epochs / interval),
        pass_s=hook.val_s / len(runner.val_dataloader.dataset) * len(loader.dataset) * count_passes(cfg),
    )
    return speed, runner


def count_passes(cfg: Config) -> int:
    """Number of feature passes of the hooks of a method.

    Args:
        cfg (Config): Config of a stage.
    """
    hooks = [hook for hook in cfg.get("custom_hooks") or [] if hook.get("type") == "ReclusterHook"]
    return sum(len(range(hook.get("start", 0), cfg.train_cfg.max_epochs, hook.get("interval", 1))) for hook in hooks)


def probe(configs: Sequence[Config], steps: int, meeting: Meeting, who: str) -> list[StageSpeed]:
    """Measure all stages of a config; those beside it are met in the first one.

    Args:
        configs (Sequence[Config]): The stages.
        steps (int): Steps to measure.
        meeting (Meeting): The probes beside this one.
        who (str): Name of this probe among them.
    """
    speeds = []
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder, "weights.pth")
        for stage in place_stages(configs, folder):
            if stage.number > 1:
                stage.cfg.load_from = str(weights)
            prepare_launch(stage.cfg, "none")
            stage.cfg.experiment_name = f"probe {stage.number}"
            speed, runner = probe_stage(stage.cfg, steps, meeting if stage.number == 1 else Meeting(None, 1), who)
            speeds.append(speed)
            torch.save({"state_dict": runner.model.state_dict(), "meta": {}}, weights)
    return speeds


def measure_side_by_side(
    overrides: Mapping[str, Sequence[str]], jobs: int, steps: int, shorten: int, threads: int | None
) -> tuple[dict[str, list[StageSpeed]], dict[str, str]]:
    """Measure configs side by side, in processes of their own, repeated up to the number of jobs.

    Args:
        overrides (Mapping[str, Sequence[str]]): ``key=value`` pairs by config, at most ``jobs`` of these.
        jobs (int): Processes at a time.
        steps (int): Steps to measure.
        shorten (int): As for :func:`~lt_plugins.runs.config.read_stages`.
        threads (int | None): CPU threads of each, None for what the machine gives.

    Returns:
        tuple[dict, dict]: The stages of each config, and why others could not be measured.
    """
    children = ChildProcesses()
    side_by_side = [list(overrides)[number % len(overrides)] for number in range(jobs)]
    environment = {} if threads is None else {THREADS: str(threads)}

    def measure(slot: int) -> str:
        config, out = side_by_side[slot], folder / f"{slot}.json"
        command = [sys.executable, "-m", __name__, config, "--steps", str(steps), "--out", str(out)]
        command += ["--meet", str(folder), "--count", str(jobs), "--shorten", str(shorten)]
        command += ["--cfg-options", *overrides[config]] if overrides[config] else []
        code, reason = children.run(command, environment | slot_devices(slot, jobs, 1), lambda _: None)
        for place in PLACES:
            Meeting(folder, jobs).arrive(place, out.stem)  # where it failed, the others need not wait
        return "" if code == 0 else reason or describe_exit(code)

    found, failed = {}, {}
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(jobs) as executor:
        folder = Path(name)
        try:
            for slot, reason in enumerate(executor.map(measure, range(jobs))):
                if reason:
                    failed[side_by_side[slot]] = reason
                else:
                    found[side_by_side[slot]] = StageSpeed.read(folder / f"{slot}.json")
        finally:
            children.stop()
    return found, {config: reason for config, reason in failed.items() if config not in found}


def main(argv: Sequence[str] | None = None) -> None:
    """Probe a config, and write what was measured."""
    with user_errors():
        parser = ToolParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        add_config_arguments(parser)
        add_shorten_argument(parser)
        parser.add_argument("--steps", type=int, default=20, metavar="N", help="steps to measure (default: 20)")
        parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON file of the result")
        parser.add_argument(
            "--meet", type=Path, metavar="DIR", help="folder where probes side by side wait for each other"
        )
        parser.add_argument("--count", type=int, default=1, metavar="N", help="number of probes side by side")
        args = parser.parse_args(argv)
        if args.steps < 1:
            raise UserInputError(f"--steps {args.steps} must be 1 or more.")
        configs = load_stages(args.config, args.cfg_options, ["train", "val"], data=args.data, shorten=args.shorten)
        speeds = probe(configs, args.steps, Meeting(args.meet, args.count), args.out.stem)
        content = {"config": args.config, "stages": [speed._asdict() for speed in speeds]}
        atomic_write(args.out, (json.dumps(content, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
