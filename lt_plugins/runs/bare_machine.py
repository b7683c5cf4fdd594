"""Bare machine: packages from a folder of wheels and data from archives, without a network; standard library only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

from lt_plugins.errors import UserInputError

INSTALLED = "installed.txt"
_PATH = "PYTHONPATH"


def install_wheels(wheels: Path, target: Path) -> None:
    """Install all wheels of a folder into a folder of their own, and let this process and its children find them.

    Nothing is downloaded, and nothing that the wheels ask for is looked for (``pip --no-index --no-deps``): what else a
    run needs has to be on the machine. Where the same wheels were installed before, nothing is done.

    Args:
        wheels (Path): The folder with ``*.whl``.
        target (Path): The folder to install into.

    Raises:
        UserInputError: If there are no wheels, or pip cannot install them.
    """
    found = sorted(wheels.glob("*.whl"))
    if not found:
        raise UserInputError(f"--wheels {wheels} has no *.whl; give a folder with wheels for this Python.")
    listed = "\n".join(path.name for path in found)
    mark = target / INSTALLED
    if not mark.is_file() or mark.read_text(encoding="utf-8") != listed:
        shutil.rmtree(target, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
        pip += ["--disable-pip-version-check", "--root-user-action=ignore", "--target", str(target)]
        done = subprocess.run([*pip, *map(str, found)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
            raise UserInputError(f"pip cannot install the wheels of {wheels}: {reason}")
        mark.write_text(listed, encoding="utf-8")
    add_to_path([target])


def add_to_path(folders: Iterable[Path]) -> None:
    """Let this process and those that it starts import from folders, before anything else.

    Args:
        folders (Iterable[Path]): The folders.
    """
    added = [str(folder.resolve()) for folder in folders]
    sys.path[:0] = [folder for folder in added if folder not in sys.path]
    before = [path for path in os.environ.get(_PATH, "").split(os.pathsep) if path and path not in added]
    os.environ[_PATH] = os.pathsep.join([*added, *before])


def unpack_archives(archives: Path, target: Path, names: Iterable[str]) -> None:
    """Unpack ``NAME.tar.gz`` to ``target/NAME``, unless that folder is there.

    Args:
        archives (Path): The folder of the archives.
        target (Path): The folder of the datasets.
        names (Iterable[str]): Names of the datasets.

    Raises:
        UserInputError: If an archive is missing or damaged.
    """
    for name in names:
        archive, folder = archives / f"{name}.tar.gz", target / name
        if (folder / "train").is_dir():
            continue
        if not archive.is_file():
            raise UserInputError(f"--archives {archives} has no {archive.name}, and {folder}/train is not there.")
        unpacking = target / f".{name}.unpacking"
        shutil.rmtree(unpacking, ignore_errors=True)
        try:
            with tarfile.open(archive) as file:
                file.extractall(unpacking, filter="data")
        except (tarfile.TarError, EOFError, OSError) as error:
            raise UserInputError(f"{archive} cannot be unpacked to {target}: {error}") from error
        folder.mkdir(parents=True, exist_ok=True)
        top = unpacking / name if (unpacking / name).is_dir() else unpacking
        for part in sorted(top.iterdir(), key=lambda path: path.name == "train"):  # the mark of a whole dataset
            part.replace(folder / part.name)
        shutil.rmtree(unpacking)


def missing_modules(names: Iterable[str]) -> list[str]:
    """Find the modules that cannot be imported here, by looking for them only.

    Args:
        names (Iterable[str]): Names of top-level modules.
    """
    from importlib.util import find_spec

    return [name for name in names if find_spec(name) is None]
