"""Run names: parses ``CONFIG.py[:VARIANT[,VARIANT]]`` and names work dir, table row and results file."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from lt_plugins.errors import UserInputError
from lt_plugins.resources import CONFIGS as PACKAGED
from lt_plugins.resources import find_config

CONFIGS = "configs"
VARIANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# What run_name joins the parts with; so they stand in no name of a config file or variant.
VARIANT_MARK, DATA_MARK, SHORT = "+", "@", "short"
STAGE = re.compile(r"stage(\d+)")
_SHORT = re.compile(rf"{SHORT}\d+")
# At the end of a name without .py; what is no name of a variant in it is refused by name.
_VARIANTS = re.compile(r"(?P<path>.*[^:]):(?P<names>[^:/]*)", re.DOTALL)


class ConfigSpec(NamedTuple):
    """Config spec: a config file and its variants.

    Args:
        path (str): The file, or the name of a ready config, as typed.
        variants (tuple[str, ...]): Names of its variants, merged in this order.
    """

    path: str
    variants: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.path + (f":{','.join(self.variants)}" if self.variants else "")

    @property
    def file(self) -> str:
        """The file: the path as typed, with ``.py``, or that of the ready config of this name; else as typed.

        A file of the user goes before a ready config of the same name, unless that has ``lt_plugins::`` before it.
        """
        # Of pathlib's, some raise on names that no file can have.
        if os.path.lexists(self.path):
            return self.path
        if os.path.isfile(f"{self.path}.py"):  # noqa: PTH113
            return f"{self.path}.py"
        ready = find_config(self.path)
        return self.path if ready is None else from_here(str(ready))

    @property
    def portable(self) -> ConfigSpec:
        """The same with a ready config spelt ``configs/METHOD/NAME.py``, wherever the package is."""
        ready = find_config(self.path)
        is_own = ready is None or os.path.realpath(self.file) != os.path.realpath(ready)
        return self if is_own else self._replace(path=Path(CONFIGS, os.path.relpath(str(ready), PACKAGED)).as_posix())


def parse_spec(spec: str) -> ConfigSpec:
    """Split ``CONFIG[.py][:VARIANT[,VARIANT]]``.

    Args:
        spec (str): As typed.

    Raises:
        UserInputError: If a variant has no name, a name that none can have, or is there twice.
    """
    path, found, names = spec.rpartition(".py:")
    if found:
        path += ".py"
    elif not spec.endswith(".py") and (match := _VARIANTS.fullmatch(spec)):
        path, names = match["path"], match["names"]
    else:
        return ConfigSpec(spec)
    variants = tuple(names.split(","))
    for name in variants:
        if not is_variant_name(name) and not STAGE.fullmatch(name):
            raise UserInputError(
                f"config {spec!s:.300} asks for the variant {name!r:.60}; write CONFIG.py:VARIANT or "
                "CONFIG.py:VARIANT,VARIANT, without blanks."
            )
        if variants.count(name) > 1:
            raise UserInputError(f"config {spec!s:.300} names the variant {name} twice; name it once.")
    return ConfigSpec(path, variants)


def is_variant_name(name: str) -> bool:
    """Check the name of a variant: letters, digits and ``._-``, but not ``stageN`` or ``shortN``.

    Args:
        name (str): The name.
    """
    return bool(VARIANT.fullmatch(name)) and not _SHORT.fullmatch(name) and not STAGE.fullmatch(name)


def run_name(spec: str, data: str | None = None, shorten: int = 1) -> str:
    """Name a run: its folder below ``work_dirs``, its row in tables and its file in ``results``.

    The path below the (innermost) folder ``configs`` without its ending, of a config elsewhere the name of the file;
    then ``+VARIANT`` for each variant, ``@NAME`` of a dataset that replaces the config's, and ``+shortN``.

    Args:
        spec (str): The config, as on the command line.
        data (str | None): As for :func:`~lt_plugins.runs.config.read_stages`.
        shorten (int): As for :func:`~lt_plugins.runs.config.read_stages`. Defaults to 1.

    Raises:
        UserInputError: If the file has a name with which two runs could be called the same.

    Examples:
        >>> run_name('configs/sbcl/sbcl_r32_cifar10-lt.py:lt50')
        'sbcl/sbcl_r32_cifar10-lt+lt50'
    """
    parsed = parse_spec(spec)
    path, variants = parsed.file, parsed.variants
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 (pathlib's follows links)
    folders, stem = absolute.parts[1:-1], absolute.stem
    if any(mark in stem for mark in (VARIANT_MARK, DATA_MARK)):
        raise UserInputError(f"config {path}: '+' and '@' in its name would name variants and data; rename the file.")
    below = folders[len(folders) - folders[::-1].index(CONFIGS) :] if CONFIGS in folders else ()
    name = "/".join((*below, stem))
    name += "".join(f"{VARIANT_MARK}{variant}" for variant in variants)
    if data is not None:
        name += DATA_MARK + re.sub(r"[^A-Za-z0-9._-]", "_", Path(os.path.abspath(data)).stem)  # noqa: PTH100
    return name + (f"{VARIANT_MARK}{SHORT}{shorten}" if shorten > 1 else "")


def from_here(path: str) -> str:
    """Spell a path from the working directory, if it lies in there.

    Args:
        path (str): The path.
    """
    relative = os.path.relpath(path)
    return path if relative.startswith(os.pardir) else relative


def stage_folder(work_dir: str | Path, number: int, total: int) -> Path:
    """Folder of a stage in that of its run.

    Args:
        work_dir (str | Path): The folder of the run.
        number (int): Which stage, from 1.
        total (int): Number of stages.
    """
    return Path(work_dir) if number == total else Path(work_dir, f"stage{number}")


def stage_source(source: str, stage: int | None) -> str:
    """Find the checkpoint or stage folder that a user means by a path and the number of a stage.

    Args:
        source (str): A checkpoint, or a work dir.
        stage (int | None): Number of the stage, from 1; None for the last one.

    Returns:
        str: The folder of the stage, or what was given where there is none: a checkpoint, or the last stage.
    """
    folder = Path(source, f"stage{stage}")
    return str(folder) if stage is not None and folder.is_dir() else source
