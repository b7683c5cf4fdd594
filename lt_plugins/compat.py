"""Are the packages this one stands on installed, and in a version that works?"""

from __future__ import annotations

import importlib
import warnings
from contextlib import redirect_stdout
from io import StringIO

from packaging.version import Version

# Module name -> (pip requirement that installs it, oldest version, first version that is too new). The original
# OpenMMLab packages share the module names with their maintained continuation ``onedl-*``; both work.
OPENMMLAB_VERSIONS = {
    "mmengine": ("onedl-mmengine>=0.10.8,<1", "0.10.0", "1"),
    "mmcv": ("onedl-mmcv>=2.3,<3", "2.0.0", "3"),
    "mmpretrain": ("onedl-mmpretrain>=1.3,<2", "1.2.0", "2"),
}


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


def import_quietly() -> None:
    """Import the parts of mmcv and mmpretrain that talk when they are imported.

    mmcv without compiled operators warns about one that no classifier here uses, and mmpretrain prints that a platform
    of its distributor is missing; neither is a user's business, least of all on every command.
    """
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.filterwarnings("ignore", message="Fail to import ``MultiScaleDeformableAttention``")
        importlib.import_module("mmcv.cnn.bricks.transformer")
        importlib.import_module("mmpretrain.datasets")
