"""torchrun, with one line where torchrun prints a report: what dist_train.sh, dist_test.sh and sweeps start.

python tools/dist_run.py --standalone --nproc-per-node 4 tools/train.py CONFIG --launcher pytorch
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterable

from torch.distributed import run
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

# As in lt_plugins/engine/user_errors.py, which is not imported: it takes seconds, and this process only waits.
LAUNCHER_VARIABLE = "LT_PLUGINS_LAUNCHER"
LOST_CONNECTION_CODE = 75

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


def main() -> None:
    """Start the processes, wait for them, and say why they stopped."""
    os.environ[LAUNCHER_VARIABLE] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # torchrun does so too, with a banner
    logging.disable(logging.CRITICAL)
    try:
        run.main()
    except ChildFailedError as error:
        if line := describe_failures(error.failures.items()):
            print(f"error: {line}", file=sys.stderr)
        sys.exit(1)
    except (SignalException, KeyboardInterrupt) as stop:
        number = getattr(stop, "sigval", signal.SIGINT)
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        print(f"stopped by {name}; {CONTINUES}", file=sys.stderr)
        sys.exit(128 + number)


if __name__ == "__main__":
    main()
