"""torchrun, with one line where torchrun prints a report: what dist_train.sh, dist_test.sh and sweeps start.

python tools/dist_run.py --standalone --nproc-per-node 4 tools/train.py CONFIG --launcher pytorch
python -m lt_plugins dist_run --standalone --nproc-per-node 4 train CONFIG --launcher pytorch
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from lt_plugins.resources import tools
from lt_plugins.runs.stop_signals import stop_signals, stopping_signal
from lt_plugins.runs.typed_command import COMMAND, resume_command
from lt_plugins.runs.user_errors import LAUNCHER_VARIABLE, LOST_CONNECTION_CODE

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

HELP = (
    "The options are those of torchrun, which torchrun --help lists; a script (or the name of a tool) and its "
    "arguments follow them."
)
CONTINUES = "the same command with --resume continues from the last checkpoint"


def describe_failures(failures: Iterable[tuple[int, ProcessFailure]]) -> str | None:
    """Why a run failed, as far as its processes could not say it themselves.

    Args:
        failures: Rank and failure of each process of this machine that failed.

    Returns:
        str | None: The line, None if a process has said why.
    """
    found = sorted(failures, key=lambda item: item[1].timestamp)
    for rank, failure in found:
        if failure.exitcode < 0 and -failure.exitcode != signal.SIGTERM:  # with that one the others are stopped
            name = signal.Signals(-failure.exitcode).name
            reason = " (memory exhausted, or somebody stopped it)" if name == "SIGKILL" else ""
            return f"process {rank} of the run was killed by {name}{reason}; {CONTINUES}."
    if any(failure.exitcode == 1 for _, failure in found):
        return None
    rank, failure = found[0]
    if failure.exitcode == LOST_CONNECTION_CODE:
        return f"the connection to a process on another machine broke; see what it says, or {CONTINUES}."
    if failure.exitcode < 0:
        return f"process {rank} of the run was stopped by SIGTERM; {CONTINUES}."
    return f"process {rank} of the run ended with exit code {failure.exitcode}; {CONTINUES}."


def name_script(arguments: Sequence[str]) -> list[str]:
    """Put the script of a tool where its name is, unless that is a file.

    Args:
        arguments (Sequence[str]): Those of torchrun.
    """
    from torch.distributed import run

    parsed = run.parse_args(arguments)
    position = len(arguments) - len(parsed.training_script_args) - 1  # its own arguments are all that follows it
    named = list(arguments)
    if not parsed.module and not os.path.lexists(parsed.training_script):
        named[position] = str(tools().get(parsed.training_script, parsed.training_script))
    return named


def launch() -> None:
    """Start the processes, wait for them, and say why they stopped."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        run.main(name_script(sys.argv[1:]))
    except ChildFailedError as error:
        if line := describe_failures(error.failures.items()):
            print(f"error: {line}", file=sys.stderr)
        sys.exit(1)
    except SignalException as stop:
        sys.exit(say_stopped(stop.sigval))


def say_stopped(number: int) -> int:
    """Print which signal stopped the run, and return the exit code."""
    name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
    how = f"resume from the last checkpoint with: {resume_command()}" if COMMAND in os.environ else CONTINUES
    print(f"stopped by {name}; {how}", file=sys.stderr, flush=True)
    return 128 + number


def main() -> None:
    """Answer --help, or launch."""
    if sys.argv[1:2] in (["-h"], ["--help"]):
        print(__doc__, HELP, sep="\n")
        return
    os.environ[LAUNCHER_VARIABLE] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # torchrun does so too, with a banner
    logging.disable(logging.CRITICAL)
    with stop_signals(end_import=lambda number: os._exit(say_stopped(number))):
        try:
            launch()
        except KeyboardInterrupt as stop:
            sys.exit(say_stopped(stopping_signal(stop)))


if __name__ == "__main__":
    main()
