"""The command line as the user typed it, and the one that resumes it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence

from lt_plugins.options import OVERWRITE_OPTION, RESUME_OPTION

THREADS = "OMP_NUM_THREADS"  # sums in another order differ in their last bits, so a run is resumed with its number
COMMAND = "LT_PLUGINS_COMMAND"  # environment variable of the scripts for several processes: how they were called

# Options that several tools have, and how many words follow them at most.
SHARED = {
    "--cfg-options": sys.maxsize,
    "--data": 1,
    "--no-resident": 0,
    "--resident": 0,
    "--shot-thresholds": 2,
    "--skip-bad": 0,
}


def typed_command() -> list[str]:
    """Words of the command line, not quoted: interpreter and its options, script or ``-m`` module, arguments."""
    if script := os.environ.get(COMMAND):
        return shlex.split(script)
    given, original = sys.argv[1:], sys.orig_argv
    is_ours = len(original) > len(given) + 1 and original[len(original) - len(given) :] == given
    return [*(original[: len(original) - len(given)] if is_ours else ["python", sys.argv[0]]), *given]


def resume_command() -> str:
    """The command line of the process with ``--resume``, to be pasted into a shell.

    ``--overwrite`` would start from scratch where nothing has been saved yet, and is left out; a checkpoint that
    ``--resume`` named is older than those that the run has written since. ``OMP_NUM_THREADS`` of the environment stands
    before it.
    """
    given, words = typed_command(), []
    for index, word in enumerate(given):
        is_path = index > 0 and given[index - 1] == RESUME_OPTION and not word.startswith("-")
        if word != OVERWRITE_OPTION and word.partition("=")[0] != RESUME_OPTION and not is_path:
            words.append(word)
    words.append(RESUME_OPTION)
    threads = f"{THREADS}={os.environ[THREADS]} " if os.environ.get(THREADS) else ""
    return threads + shlex.join(words)


def shared_options(argv: Sequence[str]) -> list[str]:
    """Options of ``tools/train.py`` that say which model and images, and that the other tools take as well.

    Args:
        argv (Sequence[str]): Arguments of ``tools/train.py``.

    Returns:
        list[str]: The words of those that were given.
    """
    words: list[str] = []
    room = 0
    for word in argv:
        option, equals, _ = word.partition("=")
        if word.startswith("--"):
            room = 0 if equals else SHARED.get(option, 0)
            if option in SHARED:
                words.append(word)
        elif room > 0:
            words.append(word)
            room -= 1
    return words
