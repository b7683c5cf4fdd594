"""The wheel, built from the sdist and installed into a folder of its own, works far from any clone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

from lt_plugins import resources
from lt_plugins.__main__ import SCRIPT
from lt_plugins.version import __version__
from tests.tool_process import ROOT

pytest.importorskip("setuptools", minversion="70.1", reason="older ones build no wheel; make venv-dev has a newer one")

SOURCES = ("lt_plugins", "configs", "tools", "setup.py", "pyproject.toml", "README.md", "LICENSE")
TINY = (
    *("train_cfg.max_epochs=1", "model.backbone.depth=20"),
    *("train_dataloader.dataset.max_count=8", "train_dataloader.dataset.imbalance_factor=8"),
)
BUILD = "from setuptools import build_meta; print(build_meta.build_{}({!r}))"


def build(kind: str, tree: Path, out: Path) -> Path:
    """Build an sdist or a wheel by the hook that pip and ``python -m build`` call."""
    code = BUILD.format(kind, str(out))
    done = subprocess.run([sys.executable, "-c", code], cwd=tree, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return out / done.stdout.splitlines()[-1]


class Installed:
    """The package in a folder, and an empty one to work in."""

    def __init__(self, site: Path, home: Path) -> None:
        self.site, self.home = site, home

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.home,
            env=environment | {"PYTHONPATH": str(self.site), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        process = self.start(*arguments)
        out, _ = process.communicate(timeout=180)
        assert process.returncode == code, out
        return out


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("archives")
    tree = folder / "tree"
    tree.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree)
    sdist = build("sdist", tree, folder)
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    return sdist, build("wheel", folder / "unpacked" / f"lt_plugins-{__version__}", folder)


@pytest.fixture(scope="module")
def installed(archives: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]
    subprocess.run([*command, str(folder / "site"), str(archives[1])], check=True, timeout=120)
    (folder / "home").mkdir()
    return Installed(folder / "site", folder / "home")


def test_it_carries_all_configs_and_tools_once(archives: tuple[Path, Path]) -> None:
    with ZipFile(archives[1]) as wheel:
        names = set(wheel.namelist())
    carried = {
        f"lt_plugins/{path.relative_to(ROOT).as_posix()}"
        for folder, endings in (("configs", "*.py *.yml *.md"), ("tools", "*.py"))
        for ending in endings.split()
        for path in (ROOT / folder).rglob(ending)
        if "dev" not in path.parts
    }
    assert len(carried) > 200 and carried <= names
    assert not [name for name in names if not name.startswith(("lt_plugins/", f"lt_plugins-{__version__}.dist-info/"))]
    with tarfile.open(archives[0]) as sdist:
        members = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"configs/lpa/lpa_r32_digits.py", "configs/_base_/datasets/digits.py", "tools/train.py"} <= members


def test_commands_and_configs_far_from_a_clone(installed: Installed) -> None:
    shown = installed.run("-c", "import lt_plugins.resources as r; print(r.CONFIGS, r.IN_CLONE)")
    assert shown == f"{installed.site / 'lt_plugins' / 'configs'} False\n"
    script = installed.run(str(installed.site / "bin" / SCRIPT), "--help")
    assert "usage: lt-plugins [COMMAND ...]" in script and "\n  train " in script
    assert "\nlpa/lpa_r32_digits\n" in installed.run("-m", "lt_plugins", "configs")
    error = installed.run("-m", "lt_plugins", "test", "mine.py", "mine.pth", code=1)
    assert "error: config mine.py does not exist; the ready ones are listed by: python -m lt_plugins configs\n" in error


def test_own_config_on_a_ready_one_and_a_child_process(installed: Installed) -> None:
    """One training from a file of the user, and one that a sweep starts."""
    own = '_base_ = "lt_plugins::ce/ce_r32_digits.py"\nvariants = dict(_delete_=True, lazy=dict(resident=False))\n'
    (installed.home / "mine.py").write_text(own)
    commands = (("train", "mine.py:lazy"), ("sweep", "cosine/cosine_r32_digits"))
    started = [installed.start("-m", "lt_plugins", *command, "--cfg-options", *TINY) for command in commands]
    (trained, swept), codes = zip(*((one.communicate(timeout=180)[0], one.returncode) for one in started), strict=True)
    assert codes == (0, 0), trained + swept
    assert "1 of 1 runs are finished" in swept
    for folder in ("mine+lazy", "sweep/cosine/cosine_r32_digits_seed0"):
        assert (installed.home / "work_dirs" / folder / "epoch_1.pth").is_file()


def test_a_clone_has_them_beside_the_package() -> None:
    assert resources.IN_CLONE
    assert (resources.CONFIGS, resources.TOOLS) == (ROOT / "configs", ROOT / "tools")
