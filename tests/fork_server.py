"""Fork server of the tests: it imports what tools and trainings need once, and forks for each of them."""

from __future__ import annotations

import multiprocessing

CONTEXT = multiprocessing.get_context("forkserver")
# The last one is found from the root of the repository only, and costs time but nothing else where it is not.
CONTEXT.set_forkserver_preload(["mmpretrain.apis", "lt_plugins.plugins", "tests.fork_server_imports"])
