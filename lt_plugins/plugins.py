"""Registration: importing this module registers every component of the package in mmpretrain's registries.

Configs name it in ``custom_imports``; the components of detectors are registered by ``lt_plugins.detection``.
"""

import pkgutil
from importlib import import_module

import lt_plugins
from lt_plugins.compat import check_versions, import_quietly
from lt_plugins.registry import register_all

ROOMS = ("models", "datasets", "evaluation", "checkpoints", "engine", "runs")

check_versions()
import_quietly("mmcv.cnn.bricks.transformer", "mmpretrain.datasets")
for _room in ROOMS:
    _package = import_module(f"{lt_plugins.__name__}.{_room}")
    for _module in pkgutil.walk_packages(_package.__path__, f"{_package.__name__}."):
        import_module(_module.name)
register_all()  # classes whose modules were imported before mmpretrain
