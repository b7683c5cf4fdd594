"""Fork server of the tests: it imports what tools and trainings need once, and forks for each of them."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing import forkserver
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
# The last one is found from the root of the repository only, and costs time but nothing else where it is not.
CONTEXT.set_forkserver_preload(["mmpretrain.apis", "lt_plugins.plugins", "tests.fork_server_imports"])


def ensure_server() -> None:
    """Start the server from the root of the repository, if it does not run: elsewhere ``tests`` is another package."""
    folder = Path.cwd()
    os.chdir(Path(__file__).resolve().parents[1])
    try:
        forkserver.ensure_running()
    finally:
        os.chdir(folder)
