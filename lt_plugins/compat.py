"""Compatibility checks of the packages that this one needs: installed, and in a version that works."""

from __future__ import annotations

import importlib
import warnings
from contextlib import redirect_stdout
from io import StringIO

from packaging.version import Version

from lt_plugins.errors import UserInputError

# Module name -> (pip requirement that installs it, oldest version, first version that is too new). The original
# OpenMMLab packages share the module names with their maintained continuation ``onedl-*``; both work.
OPENMMLAB_VERSIONS = {
    "mmengine": ("onedl-mmengine>=0.10.8,<1", "0.10.0", "1"),
    "mmcv": ("onedl-mmcv>=2.3,<3", "2.0.0", "3"),
    "mmpretrain": ("onedl-mmpretrain>=1.3,<2", "1.2.0", "2"),
}

# What detection needs in addition; nothing else in the package imports either.
MMDET_REQUIREMENT = "onedl-mmdetection>=3.5,<4"
INSTALL_OPS = (
    "pip install 'setuptools>=80,<82' ninja psutil && "
    "pip install --no-build-isolation --no-cache-dir --no-deps --force-reinstall onedl-mmcv"
)


def check_versions() -> None:
    """Check that mmengine, mmcv and mmpretrain are installed and in range.

    Raises:
        ImportError: If one is missing, does not import or is out of range. The message is one line and names the pip
            command that mends it.
    """
    for module, (requirement, oldest, too_new) in OPENMMLAB_VERSIONS.items():
        try:
            found = importlib.import_module(module).__version__
        except ImportError as error:
            raise ImportError(
                f"lt_plugins needs {module}, which does not import ({error}); run: pip install '{requirement}'"
            ) from error
        if not Version(oldest) <= Version(found) < Version(too_new):
            raise ImportError(
                f"lt_plugins needs {oldest} <= {module} < {too_new}, but {found} is installed; "
                f"run: pip install '{requirement}'"
            )


def check_detection() -> None:
    """Check that mmdet is installed and that mmcv has its compiled operators.

    Raises:
        UserInputError: If one is missing or does not import. The message is one line and holds the command that mends
            it; without a prebuilt wheel the operators are compiled by it.
    """
    for module, what, command in (
        ("mmdet", "mmdet", f"pip install '{MMDET_REQUIREMENT}'"),
        ("mmcv._ext", "mmcv's compiled operators", INSTALL_OPS),
    ):
        try:
            importlib.import_module(module)
        except ImportError as error:
            reason = " ".join(str(error).split())
            raise UserInputError(
                f"detection needs {what}, and import {module} fails ({reason}); run: {command}"
            ) from error


def import_quietly(*modules: str) -> None:
    """Import parts of mmcv, mmpretrain and mmdet without what they print.

    mmcv without compiled operators warns about one that no classifier here uses, mmpretrain and mmdet print that a
    platform of their distributor is missing, mmdet warns about a metric of COCO that nothing here uses; none of it is a
    user's business, least of all on every command.

    Args:
        *modules (str): Their names.
    """
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.filterwarnings("ignore", message="Fail to import ``MultiScaleDeformableAttention``")
        warnings.filterwarnings("ignore", message="faster_coco_eval is not installed")
        for module in modules:
            importlib.import_module(module)
