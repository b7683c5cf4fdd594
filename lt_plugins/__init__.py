"""Plugins that turn mmpretrain into a trainer for long-tailed images."""

from .compat import check_versions, import_quietly

check_versions()
import_quietly("mmcv.cnn.bricks.transformer", "mmpretrain.datasets")

# Importing a subpackage registers its classes in mmpretrain's registries.
from . import clustering, datasets, engine, evaluation, models, structures, visualization  # noqa: E402
from .version import __version__  # noqa: E402

__all__ = [
    "__version__",
    "clustering",
    "datasets",
    "engine",
    "evaluation",
    "models",
    "structures",
    "visualization",
]
