"""The documentation is built without a warning: links, references and the markup of all docstrings."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-b",
        "dummy",
        "-c",
        "docs",
        ".",
        str(tmp_path),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    packages = {path.parent for path in (ROOT / "lt_plugins").rglob("*.py") if path.stem != "__init__"}
    pages = {page.name for page in tmp_path.rglob("*.doctree")}
    names = {".".join(package.relative_to(ROOT / "lt_plugins").parts) or "lt_plugins" for package in packages}
    assert names and {f"{name}.doctree" for name in names} <= pages
