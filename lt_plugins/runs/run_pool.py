"""Run pool: recorded runs side by side on one machine, each with its share of the CPU and its GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from types import TracebackType

import torch

from lt_plugins.errors import UserInputError
from lt_plugins.runs.child_processes import SECONDS_TO_STOP, ChildProcesses, ChildrenStoppedError
from lt_plugins.runs.error_line import error_line
from lt_plugins.runs.pool_output import PoolOutput
from lt_plugins.runs.recorded_run import RecordedRun
from lt_plugins.runs.typed_command import THREADS

DEVICES = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Outcome:
    """Outcome of a run.

    Args:
        run (RecordedRun): The run.
        metrics (dict[str, float]): After its last step; empty if it failed.
        error (str | None): Why it failed, None if it is finished.
    """

    run: RecordedRun
    metrics: dict[str, float]
    error: str | None


class RunPool(AbstractContextManager["RunPool"]):
    """Run pool: finishes recorded runs, several at a time. At its end all that still run are stopped; they can resume.

    Args:
        jobs (int): Number of runs at a time. Of one the output goes where this process writes.
        num_gpus (int): Processes of each run.
        output (PoolOutput): Shows what several runs write.
        headings (Mapping[RecordedRun, str]): What to say where a run starts.
    """

    def __init__(self, jobs: int, num_gpus: int, output: PoolOutput, headings: Mapping[RecordedRun, str]) -> None:
        self._jobs, self._num_gpus, self._output, self._headings = jobs, num_gpus, output, headings
        self._children = ChildProcesses()
        self._executor = ThreadPoolExecutor(jobs)
        self._slots: SimpleQueue[Mapping[str, str]] = SimpleQueue()
        for slot in range(jobs):
            self._slots.put(slot_devices(slot, jobs, num_gpus))

    def finish(self, runs: Mapping[RecordedRun, Sequence[str]]) -> Iterator[Outcome]:
        """Finish runs, those first that come first; one that fails stops no other.

        Args:
            runs (Mapping[RecordedRun, Sequence[str]]): Options of ``tools/train.py`` of each run.

        Yields:
            Outcome: Each run as it ends; none of those that :meth:`stop` ends or keeps from starting.
        """
        futures = [self._executor.submit(self._finish, run, options) for run, options in runs.items()]
        for future in as_completed(futures):
            try:
                outcome = future.result()
            except ChildrenStoppedError:
                continue
            yield outcome

    def stop(self, patience: float = SECONDS_TO_STOP) -> None:
        """Stop the runs that still run, and start no others; from any thread.

        Args:
            patience (float): Seconds after which those that have not ended are killed. Defaults to 60.
        """
        self._children.stop(patience)  # then those that wait end as they start
        self._executor.shutdown()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop what still runs."""
        self.stop()

    def _finish(self, run: RecordedRun, options: Sequence[str]) -> Outcome:
        if self._children.is_stopped:
            raise ChildrenStoppedError
        devices = self._slots.get()
        self._output.say(self._headings[run])
        self._output.started(str(run))
        metrics: dict[str, float] = {}
        reason: str | None = None
        try:
            metrics = run.finish(options, self._num_gpus, partial(self._run_command, str(run), devices))
        except Exception as error:
            reason = error_line(error)
            if reason is None:
                raise
        finally:
            self._output.ended(str(run), failed=reason is not None)
            self._slots.put(devices)
        return Outcome(run, metrics, reason)

    def _run_command(
        self, name: str, devices: Mapping[str, str], command: Sequence[str], environment: Mapping[str, str]
    ) -> tuple[int, str]:
        if self._jobs == 1:
            return self._children.run(command, environment)
        # A pipe is a file to Python, which would hold lines back.
        environment = {"PYTHONUNBUFFERED": "1", **environment, **devices}
        return self._children.run(command, environment, partial(self._output.show, name))


def job_threads(jobs: int, num_gpus: int = 1) -> int | None:
    """Number of CPU threads of each process of a run, so that all of them share the cores that this process may use.

    Args:
        jobs (int): Number of runs at a time.
        num_gpus (int): Processes of each run. Defaults to 1.

    Returns:
        int | None: ``OMP_NUM_THREADS`` where it is set; else ``max(1, cores // jobs)``, of runs with several processes
        1, as torchrun gives them; None for a single run, which takes what the machine gives.

    Raises:
        UserInputError: If ``OMP_NUM_THREADS`` is no positive number.
    """
    given = os.environ.get(THREADS, "")
    if given:
        if not given.isdecimal() or int(given) < 1:
            raise UserInputError(
                f"{THREADS}={given!r} in the environment must be a number of threads, like 1; unset it."
            )
        return int(given)
    if jobs == 1:
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 1 if num_gpus > 1 else max(1, cores // jobs)


def slot_devices(slot: int, jobs: int, num_gpus: int, visible: Sequence[str] | None = None) -> dict[str, str]:
    """Choose the GPUs of one of several runs side by side, round robin.

    Args:
        slot (int): Which of them it is, from 0.
        jobs (int): Number of runs at a time.
        num_gpus (int): Processes of each run.
        visible (Sequence[str] | None): Names of the GPUs, as in ``CUDA_VISIBLE_DEVICES``. Defaults to those that this
            process sees.

    Returns:
        dict[str, str]: ``CUDA_VISIBLE_DEVICES`` for it; empty where there is nothing to choose.
    """
    if visible is None:
        named = [name.strip() for name in os.environ.get(DEVICES, "").split(",") if name.strip()]
        visible = named or [str(index) for index in range(torch.cuda.device_count())]
    if jobs == 1 or len(visible) < 2:
        return {}
    chosen = [visible[(slot * num_gpus + process) % len(visible)] for process in range(min(num_gpus, len(visible)))]
    return {DEVICES: ",".join(chosen)}
