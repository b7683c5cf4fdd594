"""The documentation is built without a warning: links, references and the markup of all docstrings."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.fork_server import CONTEXT

ROOT = Path(__file__).resolve().parents[2]


def build(target: Path, errors: Path) -> None:
    """Build without writing HTML, in a process of its own, since conf.py changes classes of mmengine and mmcv."""
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT), 2)
    sys.stderr = open(2, "w", buffering=1)  # noqa: SIM115 (the server's own was closed or belongs to pytest)
    os.chdir(ROOT)
    from sphinx.cmd.build import main

    sys.exit(main(["-q", "-W", "--keep-going", "-b", "dummy", "-c", "docs", ".", str(target)]))


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    process = CONTEXT.Process(target=build, args=(tmp_path / "site", errors))
    process.start()
    process.join()
    assert process.exitcode == 0, errors.read_text()
    packages = {path.parent for path in (ROOT / "lt_plugins").rglob("*.py") if path.stem != "__init__"}
    pages = {page.name for page in tmp_path.rglob("*.doctree")}
    names = {".".join(package.relative_to(ROOT / "lt_plugins").parts) or "lt_plugins" for package in packages}
    assert names and {f"{name}.doctree" for name in names} <= pages
