"""CPU time of imports and of each tool's --help, each in a process of its own.

Takes turns, so that what else the machine does falls on all of them, and prints the least of several times with its
ratio to `import torch`. Bars: 1.5 s for every --help, and what `lt_plugins.plugins` imports beyond mmpretrain costs at
most a fifth of mmpretrain.

    python benchmarks/startup.py
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOST = "import mmengine.runner, mmpretrain.apis, mmpretrain.datasets, mmpretrain.models"
PLUGINS = "import lt_plugins.plugins"
IMPORTS = [
    "import torch",
    "import mmengine",
    HOST,
    "import lt_plugins",
    "import lt_plugins.models.losses",
    "import lt_plugins.clustering",
    PLUGINS,
]
TOOLS = sorted(
    str(path.relative_to(ROOT)) for folder in ("", "detection/", "dev/") for path in ROOT.glob(f"tools/{folder}*.py")
)
MAX_HELP_S = 1.5
MAX_OVER_HOST = 1.2


def cpu_seconds(*arguments: str) -> float:
    """User and system time of a Python process and of those that it waited for.

    Args:
        *arguments (str): Of Python.

    Raises:
        RuntimeError: If it fails.
    """
    actions = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    pid = os.posix_spawn(sys.executable, [sys.executable, *arguments], env, file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        raise RuntimeError(f"python {' '.join(arguments)} fails")
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="the least of so many times counts (default: 3)")
    repeats = parser.parse_args().repeats
    os.chdir(ROOT)
    commands = {f"python -c '{code}'": ("-c", code) for code in IMPORTS}
    commands |= {f"python {tool} --help": (tool, "--help") for tool in TOOLS}
    seconds = dict.fromkeys(commands, float("inf"))
    for _ in range(repeats):
        for name, arguments in commands.items():
            seconds[name] = min(seconds[name], cpu_seconds(*arguments))
    width = max(map(len, commands))
    print(f"{'':>{width}}  CPU s  / torch")
    torch = seconds["python -c 'import torch'"]
    for name, value in seconds.items():
        print(f"{name:>{width}}  {value:5.2f}  {value / torch:7.2f}")
    slowest = max(value for name, value in seconds.items() if name.endswith("--help"))
    ratio = seconds[f"python -c '{PLUGINS}'"] / seconds[f"python -c '{HOST}'"]
    print(f"{'PASS' if slowest <= MAX_HELP_S else 'FAIL'}  --help in {slowest:.2f} s at most, bar {MAX_HELP_S} s")
    print(f"{'PASS' if ratio <= MAX_OVER_HOST else 'FAIL'}  plugins {ratio:.2f} x mmpretrain, bar {MAX_OVER_HOST}")


if __name__ == "__main__":
    main()
